package echobun

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// UnmarshalJSON reads a Config. What data does not mention stays as it is. The
// error joins a [*ConfigError] for each mistake.
func (cfg *Config) UnmarshalJSON(data []byte) error {
	v, err := parseJSON(data)
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
	v, err := parseYAML(unmarshal)
	if err != nil {
		return err
	}
	return cfg.decode(v)
}

// UnmarshalJSON reads binds by key, each as [EngineOptions.UnmarshalJSON]
// does, and adds them to b. The error joins a [*ConfigError] for each mistake.
func (b *Binds) UnmarshalJSON(data []byte) error {
	v, err := parseJSON(data)
	if err != nil {
		return err
	}
	return b.decode(v)
}

// UnmarshalYAML reads binds as UnmarshalJSON does, with the signature that
// [Config.UnmarshalYAML] explains.
func (b *Binds) UnmarshalYAML(unmarshal func(any) error) error {
	v, err := parseYAML(unmarshal)
	if err != nil {
		return err
	}
	return b.decode(v)
}

// UnmarshalJSON reads options from an object, or a URL from a string. What
// data does not mention stays as it is. The error joins a [*ConfigError] for
// each mistake.
func (o *EngineOptions) UnmarshalJSON(data []byte) error {
	v, err := parseJSON(data)
	if err != nil {
		return err
	}
	return o.decode(v)
}

// UnmarshalYAML reads options as UnmarshalJSON does, with the signature that
// [Config.UnmarshalYAML] explains.
func (o *EngineOptions) UnmarshalYAML(unmarshal func(any) error) error {
	v, err := parseYAML(unmarshal)
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
	out, d := *cfg, decoder{whole: wholeConfig}
	d.object(v, d.configKeys(&out))
	if err := d.err(); err != nil {
		return err
	}
	*cfg = out
	return nil
}

func (b *Binds) decode(v any) error {
	out, d := *b, decoder{}
	d.binds("Binds", v, &out)
	if err := d.err(); err != nil {
		return err
	}
	*b = out
	return nil
}

func (o *EngineOptions) decode(v any) error {
	out, d := *o, decoder{whole: "EngineOptions"}
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
type decoder struct {
	bind   string // Bind key, for errors.
	whole  string // What is being read, for errors about all of it.
	prefix string // Goes before the keys in errors.
	errs   []error
}

func (d *decoder) fail(field string, err error) {
	d.errs = append(d.errs, &ConfigError{Bind: d.bind, Field: field, Err: err})
}

func (d *decoder) err() error { return errors.Join(d.errs...) }

// A keyReader reads one key that an object may have, under any of its names.
type keyReader struct {
	names []string
	read  func(name string, v any) error
}

// configKeys are the keys of a Config.
func (d *decoder) configKeys(cfg *Config) []keyReader {
	return []keyReader{
		{[]string{"database_uri", "SQLALCHEMY_DATABASE_URI"}, into(&cfg.DatabaseURI, toString)},
		{[]string{"engine_options", "SQLALCHEMY_ENGINE_OPTIONS"}, d.nested(&cfg.EngineOptions, "")},
		{[]string{"binds", "SQLALCHEMY_BINDS"}, func(name string, v any) error {
			d.binds(name, v, &cfg.Binds)
			return nil
		}},
		{[]string{"defaults"}, d.nested(&cfg.Defaults, "defaults.")},
		{[]string{"instance_path"}, into(&cfg.InstancePath, toString)},
		{[]string{"app_name"}, into(&cfg.AppName, toString)},
		{[]string{"log_statements", "echo", "SQLALCHEMY_ECHO"}, into(&cfg.LogStatements, toEcho)},
		{[]string{"foreign_keys"}, into(&cfg.ForeignKeys, toBool)},
		{[]string{"slow_query"}, into(&cfg.SlowQuery, toDuration)},
		{[]string{"log_args"}, into(&cfg.LogArgs, toBool)},
		{[]string{"record_queries", "SQLALCHEMY_RECORD_QUERIES"}, into(&cfg.RecordQueries, toBool)},
		{[]string{"leak_threshold"}, into(&cfg.LeakThreshold, toDuration)},
		{[]string{"SQLALCHEMY_TRACK_MODIFICATIONS"}, toUnsupported},
	}
}

// optionKeys are the keys of EngineOptions.
func (d *decoder) optionKeys(o *EngineOptions, pool *poolWords) []keyReader {
	return []keyReader{
		{[]string{"url"}, into(&o.URL, toString)},
		{[]string{"max_open_conns"}, into(&o.MaxOpenConns, toInt)},
		{[]string{"max_idle_conns"}, into(&o.MaxIdleConns, toInt)},
		{[]string{"pool_size"}, into(&pool.size, toPointer(toPoolSize))},
		{[]string{"max_overflow"}, into(&pool.overflow, toPointer(toMaxOverflow))},
		{[]string{"conn_max_lifetime", "pool_recycle"}, func(name string, v any) error {
			if name == "pool_recycle" {
				return into(&o.ConnMaxLifetime, toSeconds)(name, v)
			}
			return into(&o.ConnMaxLifetime, toDuration)(name, v)
		}},
		{[]string{"conn_max_idle_time"}, into(&o.ConnMaxIdleTime, toDuration)},
		{[]string{"pool_timeout"}, into(&o.PoolTimeout, toSeconds)},
		{[]string{"connect_timeout"}, into(&o.ConnectTimeout, toDuration)},
		{[]string{"on_connect"}, into(&o.OnConnect, toStrings)},
		{[]string{"log_statements", "echo"}, into(&o.LogStatements, toPointer(toEcho))},
		{[]string{"optional"}, into(&o.Optional, toBool)},
		{[]string{"unmanaged"}, into(&o.Unmanaged, toBool)},
		{[]string{"pool_pre_ping"}, into(new(bool), toBool)},
	}
}

// nested returns how to read an EngineOptions that is a part of Config.
func (d *decoder) nested(o *EngineOptions, prefix string) func(string, any) error {
	return func(name string, v any) error {
		part := decoder{whole: name, prefix: prefix}
		part.options(v, o)
		d.errs = append(d.errs, part.errs...)
		return nil
	}
}

// binds reads an object of options by bind key, and adds them to a copy of b.
func (d *decoder) binds(whole string, v any, b *Binds) {
	if v == nil {
		return
	}
	members, ok := membersOf(v)
	if !ok {
		d.fail(whole, fmt.Errorf("want an object of URLs or options by bind key, not %s", typeName(v)))
		return
	}

	out, seen := make(Binds, len(*b)+len(members)), make(map[string]bool)
	maps.Copy(out, *b)
	_, fromJSON := v.(jsonObject)
	for _, m := range members {
		bind := m.name
		if bind == "null" && !fromJSON {
			bind = DefaultBind // Only one of the YAML libraries tells null from "null" here.
		}
		part := decoder{bind: bind, whole: whole}
		if seen[bind] {
			part.fail(whole, errors.New("bind key is given twice: leave out one"))
		}
		seen[bind] = true

		var o EngineOptions
		part.options(m.value, &o)
		out[bind] = o
		d.errs = append(d.errs, part.errs...)
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
	found := d.object(v, d.optionKeys(o, &pool))
	if pool.size == nil && pool.overflow == nil {
		return
	}
	for _, ours := range []string{"max_open_conns", "max_idle_conns"} {
		if found[ours] {
			d.fail(d.prefix+ours, errors.New("is given beside pool_size or max_overflow: leave out one or the other"))
		}
	}
	o.MaxOpenConns, o.MaxIdleConns = pool.conns()
}

// object reads an object that has any of keys. It returns which it has, by
// their first name. Null counts as not given.
func (d *decoder) object(v any, keys []keyReader) map[string]bool {
	members, ok := membersOf(v)
	if !ok {
		d.fail(d.whole, fmt.Errorf("want %s, not %s", d.wanted(), typeName(v)))
		return nil
	}

	found := make(map[string]bool)
	for _, m := range members {
		i := slices.IndexFunc(keys, func(k keyReader) bool { return slices.Contains(k.names, m.name) })
		switch {
		case i < 0 && d.whole == wholeConfig && isFlasks(m.name):
		case i < 0:
			d.fail(d.prefix+showKey(m.name), unknownKey(m.name, keys))
		case m.value == nil:
		case found[keys[i].names[0]]:
			d.fail(d.prefix+m.name, fmt.Errorf("is given twice: leave out all but one of %s", strings.Join(keys[i].names, ", ")))
		default:
			found[keys[i].names[0]] = true
			if err := keys[i].read(m.name, m.value); err != nil {
				d.fail(d.prefix+m.name, err)
			}
		}
	}
	return found
}

func (d *decoder) wanted() string {
	if d.whole == wholeConfig {
		return "an object"
	}
	return "a URL or an object of options"
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

func unknownKey(name string, keys []keyReader) error {
	if hint, ok := keyHints[name]; ok {
		return fmt.Errorf("unknown key: %s", hint)
	}
	var known []string
	for _, k := range keys {
		known = append(known, k.names...)
	}
	slices.Sort(known)
	return fmt.Errorf("unknown key: known are %s", strings.Join(known, ", "))
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
