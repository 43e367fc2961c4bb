package echobun

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/confread"
)

// ConfigFromEnv reads a Config from environment variables whose names begin
// with prefix and an underscore. With the prefix "APP" they are:
//
//	APP_DATABASE_URI    URL of the default bind
//	APP_ENGINE_OPTIONS  its options, as JSON
//	APP_BINDS           further binds, as JSON
//	APP_BINDS__AUTH     bind "auth" (the name in lower case): a URL, or options as JSON
//	APP_DEFAULTS        options of each bind that does not set them itself, as JSON
//	APP_FOREIGN_KEYS    foreign keys of relations: true or false
//	APP_ECHO            log statements: true or false
//	APP_SLOW_QUERY      log statements that take as long: "200ms", or seconds
//	APP_LOG_ARGS        show the arguments of statements: true or false
//	APP_RECORD_QUERIES  record the statements of sessions: true or false
//	APP_LEAK_THRESHOLD  log what stays open longer: "1m", or seconds
//	APP_INSTANCE_PATH   folder of relative SQLite files
//	APP_APP_NAME        name in the IDs of prepared transactions
//
// A variable that is empty counts as not set. APP_BINDS__AUTH replaces an
// entry "auth" of APP_BINDS. Where none of them names a database, DATABASE_URL
// is the URL of the default bind. An empty prefix leaves out the underscore too.
//
// The error joins a [*ConfigError] for each mistake that can be seen without a
// URL being read, which is for [New] to do.
func ConfigFromEnv(prefix string) (Config, error) {
	if prefix != "" {
		prefix += "_"
	}
	e := environment{prefix: prefix, vars: environ(prefix)}
	var cfg Config
	cfg.DatabaseURI = e.vars["DATABASE_URI"]
	cfg.InstancePath = e.vars["INSTANCE_PATH"]
	cfg.AppName = e.vars["APP_NAME"]
	e.value("ECHO", confread.Into(&cfg.LogStatements, confread.Echo))
	e.value("SLOW_QUERY", confread.Into(&cfg.SlowQuery, confread.Unquoted(confread.Duration)))
	e.value("LOG_ARGS", confread.Into(&cfg.LogArgs, confread.Echo))
	e.value("RECORD_QUERIES", confread.Into(&cfg.RecordQueries, confread.Echo))
	e.value("LEAK_THRESHOLD", confread.Into(&cfg.LeakThreshold, confread.Unquoted(confread.Duration)))
	e.value("FOREIGN_KEYS", confread.Into(&cfg.ForeignKeys, confread.Echo))
	e.json("DEFAULTS", func(d *decoder, v any) { d.options(v, &cfg.Defaults) })
	e.json("ENGINE_OPTIONS", func(d *decoder, v any) { d.options(v, &cfg.EngineOptions) })
	e.json("BINDS", func(d *decoder, v any) { d.binds(d.Whole, v, &cfg.Binds) })
	e.binds(&cfg)
	if len(e.errs) > 0 {
		return Config{}, errors.Join(e.errs...)
	}
	if cfg.DatabaseURI == "" && cfg.EngineOptions.URL == "" && len(cfg.Binds) == 0 {
		cfg.DatabaseURI = os.Getenv("DATABASE_URL")
	}
	return cfg, nil
}

// envBind begins the names of variables that hold one bind.
const envBind = "BINDS__"

// environ returns the variables that a Config is read from, by their names
// without prefix.
func environ(prefix string) map[string]string {
	known := []string{
		"DATABASE_URI", "ENGINE_OPTIONS", "BINDS", "ECHO", "INSTANCE_PATH", "APP_NAME",
		"SLOW_QUERY", "LOG_ARGS", "RECORD_QUERIES", "LEAK_THRESHOLD", "FOREIGN_KEYS", "DEFAULTS",
	}
	vars := make(map[string]string)
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		name, ours := strings.CutPrefix(name, prefix)
		if ours && value != "" && (slices.Contains(known, name) || strings.HasPrefix(name, "BINDS_")) {
			vars[name] = value
		}
	}
	return vars
}

// An environment reads variables and collects the mistakes.
type environment struct {
	prefix string
	vars   map[string]string // By name without prefix.
	errs   []error
}

func (e *environment) fail(name string, err error) {
	if err != nil {
		e.errs = append(e.errs, &ConfigError{Field: e.prefix + name, Err: err})
	}
}

// value reads a variable, if it is set.
func (e *environment) value(name string, read func(string, any) error) {
	if text := e.vars[name]; text != "" {
		e.fail(name, read("", text))
	}
}

// json reads a variable that holds JSON, if it is set.
func (e *environment) json(name string, read func(d *decoder, v any)) {
	if text := e.vars[name]; text != "" {
		e.decode(name, DefaultBind, text, read)
	}
}

// decode reads JSON, and says in its mistakes which variable it came from.
func (e *environment) decode(name, bind, text string, read func(d *decoder, v any)) {
	v, err := confread.ParseJSON([]byte(text))
	if err != nil {
		e.errs = append(e.errs, &ConfigError{Bind: bind, Field: e.prefix + name, Err: fmt.Errorf("want JSON: %w", err)})
		return
	}
	d := newDecoder(bind, e.prefix+name, "")
	read(&d, v)
	for _, f := range d.Faults {
		if f.Field != d.Whole {
			f.Err = fmt.Errorf("in %s: %w", d.Whole, f.Err)
		}
		e.errs = append(e.errs, (*ConfigError)(&f))
	}
}

// isURL reports whether a variable has the URL of a database, by which one that
// is misnamed is told from another's: a service "app-binds" of Kubernetes has
// variables of the same beginning.
func isURL(text string) bool {
	u, err := driver.ParseURL(text)
	if err != nil {
		return false
	}
	_, err = driver.Lookup(u)
	return err == nil
}

// binds reads the variables that hold one bind each, on top of cfg.Binds.
func (e *environment) binds(cfg *Config) {
	names := make(map[string]string) // By bind key.
	for _, name := range slices.Sorted(maps.Keys(e.vars)) {
		bind, found := strings.CutPrefix(name, envBind)
		if !found {
			if bind, found = strings.CutPrefix(name, "BINDS_"); found && isURL(e.vars[name]) {
				e.fail(name, fmt.Errorf("has one underscore before the bind key: write %s%s%s", e.prefix, envBind, bind))
			}
			continue
		}
		bind = strings.ToLower(bind)
		if bind == "" {
			e.fail(name, errors.New("has no bind key after the underscores: the default bind is "+e.prefix+"DATABASE_URI"))
			continue
		}
		if other, taken := names[bind]; taken {
			e.errs = append(e.errs, &ConfigError{
				Bind: bind, Field: e.prefix + name,
				Err: fmt.Errorf("is the same bind as %s: unset one", e.prefix+other),
			})
			continue
		}
		names[bind] = name
		if cfg.Binds == nil {
			cfg.Binds = make(Binds)
		}
		cfg.Binds[bind] = e.bind(name, bind, e.vars[name])
	}
}

// bind reads the variable of one bind: a URL, or JSON.
func (e *environment) bind(name, bind, text string) EngineOptions {
	var o EngineOptions
	if start := strings.TrimSpace(text); strings.HasPrefix(start, "{") || strings.HasPrefix(start, `"`) {
		e.decode(name, bind, text, func(d *decoder, v any) { d.options(v, &o) })
		return o
	}
	o.URL = text
	return o
}
