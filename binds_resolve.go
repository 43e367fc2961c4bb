package echobun

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// maxBindKey is the longest bind key in bytes: what databases allow for a
// name, so that a key can be part of one.
const maxBindKey = 63

// resolved is one bind with everything decided.
type resolved struct {
	key  string
	opts EngineOptions // Defaults applied, unless it has a DB.
	url  *driver.URL   // Nil if opts has a DB.

	urlField string // The field that the URL is from.
}

// resolve checks cfg and decides what holds for each bind. The default bind
// comes first, the others in alphabetical order. All mistakes are joined.
func (cfg Config) resolve() ([]resolved, error) {
	r := resolver{cfg: cfg, owners: make(map[schema.Dialect]string)}
	r.checkDefaults()

	keys := slices.Sorted(maps.Keys(cfg.Binds))
	if !slices.Contains(keys, DefaultBind) && r.hasDefault() {
		keys = append([]string{DefaultBind}, keys...)
	}
	if len(keys) == 0 {
		r.fail(DefaultBind, "DatabaseURI", errors.New("either Config.DatabaseURI or Config.Binds must be set"))
	}
	binds := make([]resolved, 0, len(keys))
	for _, key := range keys {
		before := len(r.errs)
		if b := r.bind(key); len(r.errs) == before {
			binds = append(binds, b)
		}
	}
	return binds, errors.Join(r.errs...)
}

// A resolver collects the mistakes in a Config.
type resolver struct {
	cfg    Config
	owners map[schema.Dialect]string // Bind key by dialect, for engines of the user's own.
	errs   []error
}

func (r *resolver) fail(bind, field string, err error) {
	r.errs = append(r.errs, &ConfigError{Bind: bind, Field: field, Err: err})
}

// hasDefault reports whether there is a default bind without Binds.
func (r *resolver) hasDefault() bool {
	return r.cfg.DatabaseURI != "" || r.cfg.EngineOptions.URL != "" || r.cfg.EngineOptions.DB != nil
}

// checkDefaults refuses what Defaults must not have, and takes it out. The
// rest of it is checked as part of each bind.
func (r *resolver) checkDefaults() {
	if r.cfg.Defaults.URL != "" {
		r.fail(DefaultBind, "Defaults.URL", errors.New("must be empty: a URL belongs to one bind, in DatabaseURI or Binds"))
	}
	if r.cfg.Defaults.DB != nil {
		r.fail(DefaultBind, "Defaults.DB", errors.New("must be nil: a DB belongs to one bind, in EngineOptions or Binds"))
	}
	r.cfg.Defaults.URL, r.cfg.Defaults.DB = "", nil
}

// bind decides what holds for one bind.
func (r *resolver) bind(key string) resolved {
	if err := checkBindKey(key); err != nil {
		r.fail(key, "Binds", err)
	}

	opts, field := r.cfg.Binds[key], "URL"
	if key == DefaultBind {
		opts, field = r.defaultBind()
	}
	if opts.DB != nil {
		r.checkOwn(key, opts)
		return resolved{key: key, opts: inherit(opts, EngineOptions{
			LogStatements: r.cfg.Defaults.LogStatements,
			Optional:      r.cfg.Defaults.Optional,
			Unmanaged:     r.cfg.Defaults.Unmanaged,
			Hooks:         r.cfg.Defaults.Hooks,
		})}
	}

	opts = inherit(opts, r.cfg.Defaults.cappedFor(opts))
	u, err := lookupURL(opts.URL)
	if err != nil {
		r.fail(key, field, err)
		r.checkOptions(key, opts)
		return resolved{key: key}
	}
	opts = applyDefaults(opts, u.Scheme)
	r.checkOptions(key, opts)
	return resolved{key: key, opts: opts, url: u, urlField: field}
}

// defaultBind merges what Config says of the default bind in three places. The
// field is the one that its URL came from, or should be in.
func (r *resolver) defaultBind() (opts EngineOptions, field string) {
	opts, field = inherit(r.cfg.EngineOptions, r.cfg.Binds[DefaultBind]), "URL"
	if r.cfg.EngineOptions.URL != "" {
		field = "EngineOptions.URL"
	}
	if r.cfg.DatabaseURI != "" {
		opts.URL, field = r.cfg.DatabaseURI, "DatabaseURI"
	}
	return opts, field
}

// checkBindKey says what is wrong with a bind key.
func checkBindKey(key string) error {
	switch {
	case len(key) > maxBindKey:
		return fmt.Errorf("bind key has %d bytes: use at most %d", len(key), maxBindKey)
	case !utf8.ValidString(key):
		return errors.New("bind key is not valid UTF-8")
	case strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("bind key has a control character: remove it")
	case strings.Contains(key, "://"):
		return errors.New("bind key is a URL: are key and URL swapped?")
	case strings.TrimSpace(key) != key:
		return errors.New("bind key begins or ends with a space: remove it")
	}
	return nil
}

// lookupURL reads a URL and makes sure that there is a driver for it.
func lookupURL(s string) (*driver.URL, error) {
	if s == "" {
		return nil, errors.New(`missing: set it to a URL such as "sqlite:///app.db", or set DB`)
	}
	u, err := driver.ParseURL(s)
	if err != nil {
		return nil, err
	}
	if _, err := driver.Lookup(u); err != nil {
		return nil, err
	}
	return u, nil
}

// checkOwn checks the options of a bind whose engine is the user's own.
func (r *resolver) checkOwn(key string, opts EngineOptions) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"URL", opts.URL != ""},
		{"MaxOpenConns", opts.MaxOpenConns != 0},
		{"MaxIdleConns", opts.MaxIdleConns != 0},
		{"ConnMaxLifetime", opts.ConnMaxLifetime != 0},
		{"ConnMaxIdleTime", opts.ConnMaxIdleTime != 0},
		{"PoolTimeout", opts.PoolTimeout != 0},
		{"ConnectTimeout", opts.ConnectTimeout != 0},
		{"TLS", opts.TLS != nil},
		{"OnConnect", len(opts.OnConnect) > 0},
		{"Credentials", opts.Credentials != nil},
	} {
		if f.set {
			r.fail(key, f.name, errors.New("is set beside DB, which is used as it is: leave out one of them"))
		}
	}
	if reflect.ValueOf(opts.DB).Elem().IsZero() || opts.DB.DB == nil || opts.DB.Dialect() == nil {
		r.fail(key, "DB", errors.New("was not made by bun.NewDB"))
	} else {
		r.checkDialect(key, opts.DB.Dialect())
	}
	r.checkHooks(key, opts)
}

// checkDialect refuses engines that share a dialect, as an engine and its
// clones do: it holds the tables, so those of two binds would mix.
func (r *resolver) checkDialect(key string, dialect schema.Dialect) {
	if !reflect.TypeOf(dialect).Comparable() {
		return
	}
	if owner, taken := r.owners[dialect]; taken {
		r.fail(key, "DB", fmt.Errorf("shares its dialect, and so its tables, with %s: give each bind a bun.NewDB of its own",
			bindName(owner)))
	}
	r.owners[dialect] = key
}

// checkOptions checks the options of a bind whose engine New will make.
func (r *resolver) checkOptions(key string, opts EngineOptions) {
	if opts.MaxOpenConns > 0 && opts.MaxIdleConns > opts.MaxOpenConns {
		r.fail(key, "MaxIdleConns", fmt.Errorf("%d is more than MaxOpenConns, which is %d: raise that, or lower this",
			opts.MaxIdleConns, opts.MaxOpenConns))
	}
	for i, statement := range opts.OnConnect {
		if strings.TrimSpace(statement) == "" {
			r.fail(key, fmt.Sprintf("OnConnect[%d]", i), errors.New("is empty: remove it"))
		}
	}
	r.checkHooks(key, opts)
}

func (r *resolver) checkHooks(key string, opts EngineOptions) {
	for i, hook := range opts.Hooks {
		if hook == nil {
			r.fail(key, fmt.Sprintf("Hooks[%d]", i), errors.New("is nil: remove it"))
		}
	}
}

// inherit returns opts with what it leaves out taken from base. It shares
// nothing that could be changed with either.
func inherit(opts, base EngineOptions) EngineOptions {
	setIfZero(&opts.URL, base.URL)
	setIfZero(&opts.MaxOpenConns, base.MaxOpenConns)
	setIfZero(&opts.MaxIdleConns, base.MaxIdleConns)
	setIfZero(&opts.ConnMaxLifetime, base.ConnMaxLifetime)
	setIfZero(&opts.ConnMaxIdleTime, base.ConnMaxIdleTime)
	setIfZero(&opts.PoolTimeout, base.PoolTimeout)
	setIfZero(&opts.ConnectTimeout, base.ConnectTimeout)
	setIfZero(&opts.TLS, base.TLS)
	setIfZero(&opts.LogStatements, base.LogStatements)
	setIfZero(&opts.Optional, base.Optional)
	setIfZero(&opts.Unmanaged, base.Unmanaged)
	if opts.Credentials == nil {
		opts.Credentials = base.Credentials
	}
	setIfZero(&opts.DB, base.DB)
	if opts.OnConnect == nil {
		opts.OnConnect = base.OnConnect
	}
	if opts.Hooks == nil {
		opts.Hooks = base.Hooks
	}

	opts.TLS = opts.TLS.Clone()
	opts.OnConnect = slices.Clone(opts.OnConnect)
	opts.Hooks = slices.Clone(opts.Hooks)
	if opts.LogStatements != nil {
		log := *opts.LogStatements
		opts.LogStatements = &log
	}
	return opts
}

// cappedFor returns the options as defaults for those of a bind: no more
// connections are kept than the bind allows, as database/sql has it.
func (o EngineOptions) cappedFor(bind EngineOptions) EngineOptions {
	if bind.MaxOpenConns > 0 && o.MaxIdleConns > bind.MaxOpenConns {
		o.MaxIdleConns = bind.MaxOpenConns
	}
	return o
}

// applyDefaults fills in what neither the bind nor Config.Defaults says.
func applyDefaults(opts EngineOptions, scheme string) EngineOptions {
	const noLimit = -1
	open, lifetime, idleTime := 15, 30*time.Minute, 5*time.Minute
	switch scheme {
	case "mysql":
		lifetime = 5 * time.Minute // Servers and proxies cut idle connections without a word.
	case "sqlite":
		open, lifetime, idleTime = 100, noLimit, noLimit // A file does not go away.
	}
	setIfZero(&opts.MaxOpenConns, open)
	setIfZero(&opts.MaxIdleConns, opts.MaxOpenConns)
	setIfZero(&opts.ConnMaxLifetime, lifetime)
	setIfZero(&opts.ConnMaxIdleTime, idleTime)
	setIfZero(&opts.PoolTimeout, 30*time.Second)
	setIfZero(&opts.ConnectTimeout, 10*time.Second)
	return opts
}

func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
