package echobun

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/echobun/echobun/internal/confread"
)

// UnmarshalJSON reads a Config. What data does not mention stays as it is. The
// error joins a [*ConfigError] for each mistake.
func (cfg *Config) UnmarshalJSON(data []byte) error {
	v, err := confread.ParseJSON(data)
	if err != nil {
		return err
	}
	return cfg.decode(v)
}

// UnmarshalYAML reads a Config as UnmarshalJSON does. Its signature is
// understood by github.com/goccy/go-yaml and go.yaml.in/yaml/v3. Before they
// call it they look for mistakes in the syntax, and goccy quotes the lines
// around one, passwords included: its yaml.FormatError can leave them out.
func (cfg *Config) UnmarshalYAML(unmarshal func(any) error) error {
	v, err := confread.ParseYAML(unmarshal)
	if err != nil {
		return err
	}
	return cfg.decode(v)
}

// UnmarshalJSON reads binds by key, each as [EngineOptions.UnmarshalJSON]
// does, and adds them to b. The error joins a [*ConfigError] for each mistake.
func (b *Binds) UnmarshalJSON(data []byte) error {
	v, err := confread.ParseJSON(data)
	if err != nil {
		return err
	}
	return b.decode(v)
}

// UnmarshalYAML reads binds as UnmarshalJSON does, with the signature that
// [Config.UnmarshalYAML] explains.
func (b *Binds) UnmarshalYAML(unmarshal func(any) error) error {
	v, err := confread.ParseYAML(unmarshal)
	if err != nil {
		return err
	}
	return b.decode(v)
}

// UnmarshalJSON reads options from an object, or a URL from a string. What
// data does not mention stays as it is. The error joins a [*ConfigError] for
// each mistake.
func (o *EngineOptions) UnmarshalJSON(data []byte) error {
	v, err := confread.ParseJSON(data)
	if err != nil {
		return err
	}
	return o.decode(v)
}

// UnmarshalYAML reads options as UnmarshalJSON does, with the signature that
// [Config.UnmarshalYAML] explains.
func (o *EngineOptions) UnmarshalYAML(unmarshal func(any) error) error {
	v, err := confread.ParseYAML(unmarshal)
	if err != nil {
		return err
	}
	return o.decode(v)
}

// UnmarshalText sets URL to text and leaves the other options as they are. It
// never fails; [New] says what is wrong with a URL.
func (o *EngineOptions) UnmarshalText(text []byte) error {
	o.URL = string(text)
	return nil
}

func (cfg *Config) decode(v any) error {
	if v == nil {
		return nil
	}
	out, d := *cfg, newDecoder(DefaultBind, wholeConfig, "")
	d.Object(v, d.configKeys(&out))
	if err := d.err(); err != nil {
		return err
	}
	*cfg = out
	return nil
}

func (b *Binds) decode(v any) error {
	out, d := *b, newDecoder(DefaultBind, "", "")
	d.binds("Binds", v, &out)
	if err := d.err(); err != nil {
		return err
	}
	*b = out
	return nil
}

func (o *EngineOptions) decode(v any) error {
	out, d := *o, newDecoder(DefaultBind, "EngineOptions", "")
	d.options(v, &out)
	if err := d.err(); err != nil {
		return err
	}
	*o = out
	return nil
}

// wholeConfig is what is read if it is all of a Config.
const wholeConfig = "Config"

// A decoder reads a configuration from what JSON or YAML made of its text, and
// collects the mistakes.
type decoder struct{ confread.Reader }

// newDecoder returns a decoder of whole, a part of a bind if there is one.
func newDecoder(bind, whole, prefix string) decoder {
	d := decoder{confread.Reader{
		Bind: bind, Whole: whole, Prefix: prefix, Want: "a URL or an object of options",
		Hint: func(name string) string { return keyHints[name] }, Show: showKey,
	}}
	if whole == wholeConfig {
		d.Want, d.Ignore = "an object", isFlasks
	}
	return d
}

// err joins a ConfigError for each mistake.
func (d *decoder) err() error {
	errs := make([]error, len(d.Faults))
	for i := range d.Faults {
		errs[i] = (*ConfigError)(&d.Faults[i])
	}
	return errors.Join(errs...)
}

// configKeys are the keys of a Config.
func (d *decoder) configKeys(cfg *Config) []confread.Key {
	return []confread.Key{
		confread.Named(confread.Into(&cfg.DatabaseURI, confread.String), "database_uri", "SQLALCHEMY_DATABASE_URI"),
		confread.Named(d.nested(&cfg.EngineOptions, ""), "engine_options", "SQLALCHEMY_ENGINE_OPTIONS"),
		confread.Named(func(name string, v any) error {
			d.binds(name, v, &cfg.Binds)
			return nil
		}, "binds", "SQLALCHEMY_BINDS"),
		confread.Named(d.nested(&cfg.Defaults, "defaults."), "defaults"),
		confread.Named(confread.Into(&cfg.InstancePath, confread.String), "instance_path"),
		confread.Named(confread.Into(&cfg.AppName, confread.String), "app_name"),
		confread.Named(confread.Into(&cfg.LogStatements, confread.Echo), "log_statements", "echo", "SQLALCHEMY_ECHO"),
		confread.Named(confread.Into(&cfg.ForeignKeys, confread.Bool), "foreign_keys"),
		confread.Named(confread.Into(&cfg.SlowQuery, confread.Duration), "slow_query"),
		confread.Named(confread.Into(&cfg.LogArgs, confread.Bool), "log_args"),
		confread.Named(confread.Into(&cfg.RecordQueries, confread.Bool), "record_queries", "SQLALCHEMY_RECORD_QUERIES"),
		confread.Named(confread.Into(&cfg.LeakThreshold, confread.Duration), "leak_threshold"),
		confread.Named(confread.Unsupported, "SQLALCHEMY_TRACK_MODIFICATIONS"),
	}
}

// optionKeys are the keys of EngineOptions.
func (d *decoder) optionKeys(o *EngineOptions, pool *poolWords) []confread.Key {
	return []confread.Key{
		confread.Named(confread.Into(&o.URL, confread.String), "url"),
		confread.Named(confread.Into(&o.MaxOpenConns, confread.Int), "max_open_conns"),
		confread.Named(confread.Into(&o.MaxIdleConns, confread.Int), "max_idle_conns"),
		confread.Named(confread.Into(&pool.size, confread.Pointer(confread.PoolSize)), "pool_size"),
		confread.Named(confread.Into(&pool.overflow, confread.Pointer(confread.MaxOverflow)), "max_overflow"),
		confread.Named(func(name string, v any) error {
			if name == "pool_recycle" {
				return confread.Into(&o.ConnMaxLifetime, confread.Seconds)(name, v)
			}
			return confread.Into(&o.ConnMaxLifetime, confread.Duration)(name, v)
		}, "conn_max_lifetime", "pool_recycle"),
		confread.Named(confread.Into(&o.ConnMaxIdleTime, confread.Duration), "conn_max_idle_time"),
		confread.Named(confread.Into(&o.PoolTimeout, confread.Seconds), "pool_timeout"),
		confread.Named(confread.Into(&o.ConnectTimeout, confread.Duration), "connect_timeout"),
		confread.Named(confread.Into(&o.OnConnect, confread.Strings), "on_connect"),
		confread.Named(confread.Into(&o.LogStatements, confread.Pointer(confread.Echo)), "log_statements", "echo"),
		confread.Named(confread.Into(&o.Optional, confread.Bool), "optional"),
		confread.Named(confread.Into(&o.Unmanaged, confread.Bool), "unmanaged"),
		confread.Named(confread.Into(new(bool), confread.Bool), "pool_pre_ping"),
	}
}

// nested returns how to read an EngineOptions that is a part of Config.
func (d *decoder) nested(o *EngineOptions, prefix string) func(string, any) error {
	return func(name string, v any) error {
		part := newDecoder(DefaultBind, name, prefix)
		part.options(v, o)
		d.Faults = append(d.Faults, part.Faults...)
		return nil
	}
}

// binds reads an object of options by bind key, and adds them to a copy of b.
func (d *decoder) binds(whole string, v any, b *Binds) {
	if v == nil {
		return
	}
	members, ok := confread.Members(v)
	if !ok {
		d.Fail(whole, fmt.Errorf("want an object of URLs or options by bind key, not %s", confread.TypeName(v)))
		return
	}

	out, seen := make(Binds, len(*b)+len(members)), make(map[string]bool)
	maps.Copy(out, *b)
	_, fromJSON := v.(confread.Object)
	for _, m := range members {
		bind := m.Name
		if bind == "null" && !fromJSON {
			bind = DefaultBind // Only one of the YAML libraries tells null from "null" here.
		}
		part := newDecoder(bind, whole, "")
		if seen[bind] {
			part.Fail(whole, errors.New("bind key is given twice: leave out one"))
		}
		seen[bind] = true

		var o EngineOptions
		part.options(m.Value, &o)
		out[bind] = o
		d.Faults = append(d.Faults, part.Faults...)
	}
	*b = out
}

// options reads the options of one engine. Null leaves them as they are: [New]
// has to report a bind without any, because some decoders never pass it on.
func (d *decoder) options(v any, o *EngineOptions) {
	if v == nil {
		return
	}
	if url, ok := v.(string); ok {
		o.URL = url
		return
	}
	var pool poolWords
	found := d.Object(v, d.optionKeys(o, &pool))
	if pool.size == nil && pool.overflow == nil {
		return
	}
	for _, ours := range []string{"max_open_conns", "max_idle_conns"} {
		if found[ours] {
			d.Fail(d.Prefix+ours, errors.New("is given beside pool_size or max_overflow: leave out one or the other"))
		}
	}
	o.MaxOpenConns, o.MaxIdleConns = pool.conns()
}

// keyHints says what to do in place of a key that somebody may well try.
var keyHints = map[string]string{
	"connect_args":    "write them as parameters of the URL",
	"isolation_level": "set it for each transaction",
	"tls":             "it can only be set in Go",
	"db":              "it can only be set in Go",
	"hooks":           "it can only be set in Go",
	"credentials":     "it can only be set in Go",
	"logger":          "it can only be set in Go",
}

// poolWords are SQLAlchemy's words for the size of a pool, nil if not given.
type poolWords struct{ size, overflow *int }

// conns translates them. Without a limit to what is kept there is none at all.
func (p poolWords) conns() (open, idle int) {
	size, overflow := 5, 10
	if p.size != nil {
		size = *p.size
	}
	if p.overflow != nil {
		overflow = *p.overflow
	}
	switch {
	case size == 0:
		return -1, -1
	case overflow < 0:
		return -1, size
	}
	return min(size+overflow, math.MaxInt32), size
}
