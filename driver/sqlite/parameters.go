package sqlite

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A parameter reads one value of a URL's query into the settings.
type parameter struct {
	setting string
	read    func(s *settings, value string) error
}

var (
	switches = []string{"0", "false", "no", "off", "1", "true", "yes", "on"}
	truths   = []string{"0", "f", "false", "1", "t", "true"}

	// pragmaForm is what a pragma may look like. It leaves no room for a
	// second statement.
	pragmaForm = regexp.MustCompile(`^\s*([A-Za-z_]+)\s*(?:\(\s*([-+.\w]+|'[^']*'|"[^"]*")\s*\)|=\s*([-+.\w]+|'[^']*'|"[^"]*"))?\s*$`)
)

// parameters are all but _pragma, by name. Those with a leading underscore are
// modernc's and mattn's names.
var parameters = map[string]parameter{
	"uri": {"uri", boolean(func(s *settings) *bool { return &s.uri })},

	"timeout":       {"busy_timeout", readSeconds},
	"busy_timeout":  {"busy_timeout", readMilliseconds},
	"_busy_timeout": {"busy_timeout", readMilliseconds},
	"_timeout":      {"busy_timeout", readMilliseconds},

	"journal_mode":  journalMode,
	"_journal_mode": journalMode,
	"_journal":      journalMode,

	"synchronous":  synchronous,
	"_synchronous": synchronous,
	"_sync":        synchronous,

	"foreign_keys":  foreignKeys,
	"_foreign_keys": foreignKeys,
	"_fk":           foreignKeys,

	"query_only":  queryOnly,
	"_query_only": queryOnly,

	"auto_vacuum":  autoVacuum,
	"_auto_vacuum": autoVacuum,
	"_vacuum":      autoVacuum,

	"transaction":     begin,
	"_txlock":         begin,
	"isolation_level": begin,

	"mode":      opening("mode", "ro", "rw", "rwc", "memory"),
	"cache":     opening("cache", "shared", "private"),
	"vfs":       opening("vfs"),
	"immutable": opening("immutable", switches...),
	"nolock":    opening("nolock", switches...),
	"psow":      opening("psow", switches...),

	"_time_format":         opening("_time_format", "sqlite", "datetime"),
	"_time_integer_format": opening("_time_integer_format", "unix", "unix_milli", "unix_micro", "unix_nano"),
	"_timezone":            {"_timezone", readTimezone},
	"_inttotime":           opening("_inttotime", truths...),
	"_texttotime":          opening("_texttotime", truths...),
	"_dqs":                 opening("_dqs", truths...),
	"_defensive":           opening("_defensive", truths...),
	"_error_rc":            opening("_error_rc", truths...),

	"check_same_thread": ignored("check_same_thread"),
	"cached_statements": ignored("cached_statements"),
	"detect_types":      ignored("detect_types"),
}

var (
	journalMode = parameter{"journal_mode", word(func(s *settings) *string { return &s.journalMode },
		"DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF")}
	synchronous = parameter{"synchronous", word(func(s *settings) *string { return &s.synchronous },
		"0", "OFF", "1", "NORMAL", "2", "FULL", "3", "EXTRA")}
	begin = parameter{"_txlock", word(func(s *settings) *string { return &s.begin },
		"DEFERRED", "IMMEDIATE", "EXCLUSIVE")}

	foreignKeys = parameter{"foreign_keys", boolean(func(s *settings) *bool { return &s.foreignKeys })}
	queryOnly   = parameter{"query_only", boolean(func(s *settings) *bool { return &s.queryOnly })}
	autoVacuum  = parameter{"auto_vacuum", readAutoVacuum}
)

// boolean reads a switch as SQLite writes it.
func boolean(field func(*settings) *bool) func(*settings, string) error {
	return func(s *settings, value string) error {
		i, err := index(switches, value)
		*field(s) = i >= len(switches)/2
		return err
	}
}

// word reads one of some words.
func word(field func(*settings) *string, allowed ...string) func(*settings, string) error {
	return func(s *settings, value string) error {
		i, err := index(allowed, value)
		if err == nil {
			*field(s) = allowed[i]
		}
		return err
	}
}

// opening is a parameter that goes on to SQLite or to modernc.org/sqlite as it is.
func opening(name string, allowed ...string) parameter {
	return parameter{name, func(s *settings, value string) error {
		s.open.Set(name, value)
		if len(allowed) == 0 {
			return nil
		}
		i, err := index(allowed, value)
		if err == nil {
			s.open.Set(name, allowed[i])
		}
		return err
	}}
}

// ignored is a parameter of Python's sqlite3 module without a meaning here.
func ignored(name string) parameter {
	return parameter{name, func(*settings, string) error { return nil }}
}

func index(allowed []string, value string) (int, error) {
	for i, a := range allowed {
		if strings.EqualFold(a, value) {
			return i, nil
		}
	}
	return -1, fmt.Errorf("%q is none of %s", value, strings.Join(allowed, ", "))
}

// maxBusyTimeout is the longest that fits into SQLite's int of milliseconds.
const maxBusyTimeout = (1<<31 - 1) * time.Millisecond

var errTimeout = errors.New("not a time from 0 to 24 days")

func readMilliseconds(s *settings, value string) error {
	ms, err := strconv.ParseInt(value, 10, 32)
	if err != nil || ms < 0 {
		return fmt.Errorf("%q: %w, in milliseconds", value, errTimeout)
	}
	s.busyTimeout = time.Duration(ms) * time.Millisecond
	return nil
}

func readSeconds(s *settings, value string) error {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxBusyTimeout.Seconds()) {
		return fmt.Errorf("%q: %w, in seconds", value, errTimeout)
	}
	s.busyTimeout = time.Duration(seconds * float64(time.Second))
	return nil
}

func readTimezone(s *settings, value string) error {
	if _, err := time.LoadLocation(value); err != nil {
		return err
	}
	s.open.Set("_timezone", value)
	return nil
}

func readAutoVacuum(s *settings, value string) error {
	i, err := index([]string{"0", "NONE", "1", "FULL", "2", "INCREMENTAL"}, value)
	if err == nil {
		s.pragmas = append(s.pragmas, "auto_vacuum("+strconv.Itoa(i/2)+")")
	}
	return err
}
