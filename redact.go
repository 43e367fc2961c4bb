package echobun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/echobun/echobun/driver"
)

// String returns the Config as JSON, with *** in place of passwords.
func (cfg Config) String() string { return showJSON(cfg.shown()) }

// GoString returns what String returns, for %#v.
func (cfg Config) GoString() string { return "echobun.Config(" + cfg.String() + ")" }

// Format writes what String returns, whatever the verb: with %d or %x, too,
// fmt must not get to the fields.
func (cfg Config) Format(s fmt.State, verb rune) { show(s, verb, cfg.String(), cfg.GoString()) }

// LogValue returns what String returns, for log/slog.
func (cfg Config) LogValue() slog.Value { return slog.StringValue(cfg.String()) }

// MarshalJSON shows the Config with *** in place of passwords, which makes it
// fit for people and unfit for reading it again.
func (cfg Config) MarshalJSON() ([]byte, error) { return json.Marshal(cfg.shown()) }

// MarshalYAML shows the Config as MarshalJSON does.
func (cfg Config) MarshalYAML() (any, error) { return cfg.shown(), nil }

// String returns the options as JSON, with *** in place of passwords.
func (o EngineOptions) String() string { return showJSON(o.shown()) }

// GoString returns what String returns, for %#v.
func (o EngineOptions) GoString() string { return "echobun.EngineOptions(" + o.String() + ")" }

// Format writes what String returns, whatever the verb: with %d or %x, too,
// fmt must not get to the fields.
func (o EngineOptions) Format(s fmt.State, verb rune) { show(s, verb, o.String(), o.GoString()) }

// LogValue returns what String returns, for log/slog.
func (o EngineOptions) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalJSON shows the options with *** in place of passwords, which makes
// them fit for people and unfit for reading them again.
func (o EngineOptions) MarshalJSON() ([]byte, error) { return json.Marshal(o.shown()) }

// MarshalYAML shows the options as MarshalJSON does.
func (o EngineOptions) MarshalYAML() (any, error) { return o.shown(), nil }

// String returns the binds as JSON, with *** in place of passwords.
func (b Binds) String() string { return showJSON(b.shown()) }

// GoString returns what String returns, for %#v.
func (b Binds) GoString() string { return "echobun.Binds(" + b.String() + ")" }

// Format writes what String returns, whatever the verb.
func (b Binds) Format(s fmt.State, verb rune) { show(s, verb, b.String(), b.GoString()) }

// LogValue returns what String returns, for log/slog.
func (b Binds) LogValue() slog.Value { return slog.StringValue(b.String()) }

// shownConfig is what is shown of a Config. Its keys are those that a Config
// is read from, but for what can only be set in Go.
type shownConfig struct {
	DatabaseURI   string                  `json:"database_uri,omitempty" yaml:"database_uri,omitempty"`
	EngineOptions *shownOptions           `json:"engine_options,omitempty" yaml:"engine_options,omitempty"`
	Binds         map[string]shownOptions `json:"binds,omitempty" yaml:"binds,omitempty"`
	Defaults      *shownOptions           `json:"defaults,omitempty" yaml:"defaults,omitempty"`
	InstancePath  string                  `json:"instance_path,omitempty" yaml:"instance_path,omitempty"`
	AppName       string                  `json:"app_name,omitempty" yaml:"app_name,omitempty"`
	LogStatements bool                    `json:"log_statements,omitempty" yaml:"log_statements,omitempty"`
	SlowQuery     string                  `json:"slow_query,omitempty" yaml:"slow_query,omitempty"`
	LogArgs       bool                    `json:"log_args,omitempty" yaml:"log_args,omitempty"`
	RecordQueries bool                    `json:"record_queries,omitempty" yaml:"record_queries,omitempty"`
	LeakThreshold string                  `json:"leak_threshold,omitempty" yaml:"leak_threshold,omitempty"`
	ForeignKeys   bool                    `json:"foreign_keys,omitempty" yaml:"foreign_keys,omitempty"`
	Logger        string                  `json:"logger,omitempty" yaml:"logger,omitempty"`
}

type shownOptions struct {
	URL             string `json:"url,omitempty" yaml:"url,omitempty"`
	MaxOpenConns    int    `json:"max_open_conns,omitempty" yaml:"max_open_conns,omitempty"`
	MaxIdleConns    int    `json:"max_idle_conns,omitempty" yaml:"max_idle_conns,omitempty"`
	ConnMaxLifetime string `json:"conn_max_lifetime,omitempty" yaml:"conn_max_lifetime,omitempty"`
	ConnMaxIdleTime string `json:"conn_max_idle_time,omitempty" yaml:"conn_max_idle_time,omitempty"`
	PoolTimeout     string `json:"pool_timeout,omitempty" yaml:"pool_timeout,omitempty"`
	ConnectTimeout  string `json:"connect_timeout,omitempty" yaml:"connect_timeout,omitempty"`
	TLS             string `json:"tls,omitempty" yaml:"tls,omitempty"`
	OnConnect       string `json:"on_connect,omitempty" yaml:"on_connect,omitempty"`
	LogStatements   *bool  `json:"log_statements,omitempty" yaml:"log_statements,omitempty"`
	Credentials     string `json:"credentials,omitempty" yaml:"credentials,omitempty"`
	Optional        bool   `json:"optional,omitempty" yaml:"optional,omitempty"`
	Unmanaged       bool   `json:"unmanaged,omitempty" yaml:"unmanaged,omitempty"`
	Hooks           string `json:"hooks,omitempty" yaml:"hooks,omitempty"`
	DB              string `json:"db,omitempty" yaml:"db,omitempty"`
}

func (cfg Config) shown() shownConfig {
	return shownConfig{
		DatabaseURI:   showURL(cfg.DatabaseURI),
		EngineOptions: cfg.EngineOptions.shownUnlessZero(),
		Binds:         cfg.Binds.shown(),
		Defaults:      cfg.Defaults.shownUnlessZero(),
		InstancePath:  cfg.InstancePath,
		AppName:       cfg.AppName,
		LogStatements: cfg.LogStatements,
		SlowQuery:     showDuration(cfg.SlowQuery),
		LogArgs:       cfg.LogArgs,
		RecordQueries: cfg.RecordQueries,
		LeakThreshold: showDuration(cfg.LeakThreshold),
		ForeignKeys:   cfg.ForeignKeys,
		Logger:        showSet(cfg.Logger != nil),
	}
}

func (b Binds) shown() map[string]shownOptions {
	shown := make(map[string]shownOptions, len(b))
	for bind, o := range b {
		shown[showKey(bind)] = o.shown()
	}
	return shown
}

// showKey returns a bind key, masked if it is a URL in the wrong place.
func showKey(key string) string {
	if strings.Contains(key, "://") {
		return "***"
	}
	return key
}

func (o EngineOptions) shown() shownOptions {
	return shownOptions{
		URL:             showURL(o.URL),
		MaxOpenConns:    o.MaxOpenConns,
		MaxIdleConns:    o.MaxIdleConns,
		ConnMaxLifetime: showDuration(o.ConnMaxLifetime),
		ConnMaxIdleTime: showDuration(o.ConnMaxIdleTime),
		PoolTimeout:     showDuration(o.PoolTimeout),
		ConnectTimeout:  showDuration(o.ConnectTimeout),
		TLS:             showSet(o.TLS != nil),
		OnConnect:       showCount(len(o.OnConnect), "statement"), // May hold a key or a password.
		LogStatements:   o.LogStatements,
		Credentials:     showSet(o.Credentials != nil),
		Optional:        o.Optional,
		Unmanaged:       o.Unmanaged,
		Hooks:           showCount(len(o.Hooks), "hook"),
		DB:              showSet(o.DB != nil),
	}
}

func (o EngineOptions) shownUnlessZero() *shownOptions {
	if shown := o.shown(); shown != (shownOptions{}) {
		return &shown
	}
	return nil
}

// showURL masks what is secret in a URL: all of it, if it cannot be read.
func showURL(s string) string {
	if s == "" {
		return ""
	}
	u, err := driver.ParseURL(s)
	if err != nil {
		return "***"
	}
	return u.String()
}

func showDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func showSet(set bool) string {
	if set {
		return "set"
	}
	return ""
}

func showCount(n int, noun string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func showJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // An & in a URL is to stay one.
	if err := enc.Encode(v); err != nil {
		return "***"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// show is the Format method of what is only to be shown masked.
func show(s fmt.State, verb rune, text, goText string) {
	switch {
	case verb == 'q':
		text = strconv.Quote(text)
	case verb == 'v' && s.Flag('#'):
		text = goText
	}
	_, _ = io.WriteString(s, text) // A [fmt.State] has no way to report it.
}
