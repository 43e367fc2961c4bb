package sqlite

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// settings is what the parameters of a URL say.
type settings struct {
	uri         bool
	busyTimeout time.Duration
	journalMode string
	synchronous string
	foreignKeys bool
	queryOnly   bool
	begin       string     // Keyword after BEGIN.
	pragmas     []string   // Without the word PRAGMA, in the order given.
	open        url.Values // For SQLite's file: URI and for modernc.org/sqlite.

	given map[string]string // Setting to the parameter that gave it.
}

func newSettings(query url.Values) (*settings, error) {
	s := &settings{
		busyTimeout: 5 * time.Second,
		journalMode: "WAL",
		synchronous: "NORMAL",
		foreignKeys: true,
		begin:       "IMMEDIATE",
		// Times are written so that they sort and compare with Bun's, and
		// read in one time zone, whatever that of the machine is.
		open:  url.Values{"_time_format": {"sqlite"}, "_timezone": {"UTC"}, "_error_rc": {"1"}},
		given: make(map[string]string),
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			if err := s.set(name, value); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// set reads one parameter. A setting can be given once, whatever its names.
func (s *settings) set(name, value string) error {
	if name == "_pragma" {
		return s.setPragma(value)
	}
	p, ok := parameters[name]
	if !ok {
		return fmt.Errorf("sqlite: unknown parameter %q (known: _pragma, %s)", name,
			strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
	}
	if before, taken := s.given[p.setting]; taken {
		return fmt.Errorf("sqlite: parameter %q: %s was given already, by %q", name, p.setting, before)
	}
	s.given[p.setting] = name
	if err := p.read(s, value); err != nil {
		return fmt.Errorf("sqlite: parameter %q: %w", name, err)
	}
	return nil
}

// setPragma reads "name(value)" or "name=value". A pragma that is a parameter
// of its own is read as that.
func (s *settings) setPragma(value string) error {
	m := pragmaForm.FindStringSubmatch(value)
	if m == nil {
		return fmt.Errorf("sqlite: parameter %q: %q is not of the form name(value)", "_pragma", value)
	}
	switch name, arg := strings.ToLower(m[1]), strings.Trim(m[2]+m[3], `'"`); name {
	case "auto_vacuum", "busy_timeout", "foreign_keys", "journal_mode", "query_only", "synchronous":
		return s.set(name, arg)
	default:
		s.pragmas = append(s.pragmas, value)
		return nil
	}
}

// plainTimes reports whether times are texts in UTC, as the dialect writes them.
func (s *settings) plainTimes() bool {
	return s.open.Get("_time_format") == "sqlite" && s.open.Get("_timezone") == "UTC" && !s.open.Has("_time_integer_format")
}

func (s *settings) vfs() string       { return s.open.Get("vfs") }
func (s *settings) memory() bool      { return s.open.Get("mode") == "memory" }
func (s *settings) sharedCache() bool { return s.open.Get("cache") == "shared" }
