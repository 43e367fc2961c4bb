package echobun_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	goccy "github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/echobun/echobun"
)

// yamlLibraries are those that Config promises to be read by.
var yamlLibraries = map[string]func([]byte, any) error{
	"goccy":   func(data []byte, v any) error { return goccy.Unmarshal(data, v) },
	"yaml.v3": yamlv3.Unmarshal,
}

// libraries are all that Config promises to be read by. JSON is YAML too.
var libraries = map[string]func([]byte, any) error{
	"JSON": json.Unmarshal, "goccy": yamlLibraries["goccy"], "yaml.v3": yamlv3.Unmarshal,
}

// original is the example of Flask-SQLAlchemy's documentation.
var original = echobun.Config{
	DatabaseURI: "postgresql:///main",
	Binds: echobun.Binds{
		"meta": {URL: "sqlite:////path/to/meta.db"},
		"auth": {URL: "mysql://localhost/users", ConnMaxLifetime: time.Hour},
	},
}

func TestConfigOriginalExample(t *testing.T) {
	t.Parallel()

	texts := map[string]string{
		"flask.json": `{
			"SQLALCHEMY_DATABASE_URI": "postgresql:///main",
			"SQLALCHEMY_BINDS": {
				"meta": "sqlite:////path/to/meta.db",
				"auth": {"url": "mysql://localhost/users", "pool_recycle": 3600}
			},
			"SQLALCHEMY_TRACK_MODIFICATIONS": false,
			"SQLALCHEMY_RECORD_QUERIES": null
		}`,
		"flask.yaml": `
SQLALCHEMY_DATABASE_URI: postgresql:///main
SQLALCHEMY_BINDS:
  meta: sqlite:////path/to/meta.db
  auth:
    url: mysql://localhost/users
    pool_recycle: 3600
`,
		"own.json": `{
			"database_uri": "postgresql:///main",
			"binds": {
				"meta": "sqlite:////path/to/meta.db",
				"auth": {"url": "mysql://localhost/users", "conn_max_lifetime": "1h"}
			}
		}`,
		"own.yaml": `
database_uri: postgresql:///main
binds:
  meta: {url: "sqlite:////path/to/meta.db"}
  auth: {url: mysql://localhost/users, conn_max_lifetime: 60m}
`,
	}
	for file, text := range texts {
		read := libraries
		if strings.HasSuffix(file, ".yaml") {
			read = yamlLibraries
		}
		for library, unmarshal := range read {
			t.Run(file+" by "+library, func(t *testing.T) {
				t.Parallel()

				var cfg echobun.Config
				require.NoError(t, unmarshal([]byte(text), &cfg))
				require.Equal(t, plain(original), plain(cfg))
			})
		}
	}
}

// plain is Config without its methods, so that a failing test shows what is
// in it.
func plain(cfg echobun.Config) any {
	binds := make(map[string]any)
	for key, o := range cfg.Binds {
		binds[key] = raw(o)
	}
	return map[string]any{
		"database_uri": cfg.DatabaseURI, "engine_options": raw(cfg.EngineOptions), "binds": binds,
		"defaults": raw(cfg.Defaults), "instance_path": cfg.InstancePath, "app_name": cfg.AppName, "log_statements": cfg.LogStatements,
		"foreign_keys": cfg.ForeignKeys, "logger": cfg.Logger,
	}
}

func TestConfigKeys(t *testing.T) {
	t.Parallel()

	yes, no := true, false
	tests := []struct {
		name string
		text string
		want echobun.Config
	}{
		{"empty", `{}`, echobun.Config{}},
		{
			"all", `{"database_uri": "a://", "engine_options": {"max_open_conns": 3}, "binds": {"x": "b://"},
				"defaults": {"unmanaged": true}, "instance_path": "/i", "app_name": "shop", "log_statements": true, "foreign_keys": true,
				"slow_query": "200ms", "log_args": true, "record_queries": true, "leak_threshold": 30}`,
			echobun.Config{
				DatabaseURI: "a://", EngineOptions: echobun.EngineOptions{MaxOpenConns: 3}, Binds: echobun.Binds{"x": {URL: "b://"}},
				Defaults: echobun.EngineOptions{Unmanaged: true}, InstancePath: "/i", AppName: "shop", LogStatements: true, ForeignKeys: true,
				SlowQuery: 200 * time.Millisecond, LogArgs: true, RecordQueries: true, LeakThreshold: 30 * time.Second,
			},
		},
		{
			"all of Flask's", `{"SQLALCHEMY_DATABASE_URI": "a://", "SQLALCHEMY_ENGINE_OPTIONS": {"echo": false, "pool_pre_ping": true},
				"SQLALCHEMY_BINDS": {}, "SQLALCHEMY_ECHO": "debug", "SQLALCHEMY_TRACK_MODIFICATIONS": false, "SQLALCHEMY_RECORD_QUERIES": true}`,
			echobun.Config{DatabaseURI: "a://", EngineOptions: echobun.EngineOptions{LogStatements: &no}, LogStatements: true, RecordQueries: true},
		},
		{
			"a whole app.config", `{"DEBUG": true, "SECRET_KEY": "x", "SESSION_COOKIE_NAME": "s", "PERMANENT_SESSION_LIFETIME": 2678400,
				"MAX_CONTENT_LENGTH": null, "JSON_SORT_KEYS": false, "MAIL_SERVER": "m", "WTF_CSRF_ENABLED": {"a": [1]},
				"SQLALCHEMY_DATABASE_URI": "a://", "SQLALCHEMY_TRACK_MODIFICATIONS": false}`,
			echobun.Config{DatabaseURI: "a://"},
		},
		{
			"nulls", `{"database_uri": null, "engine_options": null, "binds": null, "defaults": null, "instance_path": null,
				"echo": null, "foreign_keys": null, "SQLALCHEMY_DATABASE_URI": "a://"}`,
			echobun.Config{DatabaseURI: "a://"},
		},
		{"null bind", `{"binds": {"meta": null}}`, echobun.Config{Binds: echobun.Binds{"meta": {}}}},
		{"options as a URL", `{"engine_options": "a://"}`, echobun.Config{EngineOptions: echobun.EngineOptions{URL: "a://"}}},
		{
			"all options", `{"engine_options": {"url": "a://", "max_open_conns": 9, "max_idle_conns": -1, "conn_max_lifetime": "1h30m",
				"conn_max_idle_time": 90, "pool_timeout": 0.5, "connect_timeout": "250ms", "on_connect": ["A", "B"],
				"log_statements": true, "optional": true, "unmanaged": true}}`,
			echobun.Config{EngineOptions: echobun.EngineOptions{
				URL: "a://", MaxOpenConns: 9, MaxIdleConns: -1, ConnMaxLifetime: 90 * time.Minute, ConnMaxIdleTime: 90 * time.Second,
				PoolTimeout: 500 * time.Millisecond, ConnectTimeout: 250 * time.Millisecond, OnConnect: []string{"A", "B"},
				LogStatements: &yes, Optional: true, Unmanaged: true,
			}},
		},
		{
			"empty list", `{"engine_options": {"on_connect": [], "conn_max_lifetime": 0}}`,
			echobun.Config{EngineOptions: echobun.EngineOptions{OnConnect: []string{}}},
		},
	}
	for _, tt := range tests {
		for library, unmarshal := range libraries {
			t.Run(tt.name+" by "+library, func(t *testing.T) {
				t.Parallel()

				var cfg echobun.Config
				require.NoError(t, unmarshal([]byte(tt.text), &cfg))
				require.Equal(t, plain(tt.want), plain(cfg))
			})
		}
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		text string
		want []string // Bind, field and message of each error.
	}{
		{"not an object", `["s3cr3t"]`, []string{`/Config: want an object, not a list`}},
		{"unknown key", `{"database_url": "a://u:s3cr3t@h"}`, []string{
			`/database_url: unknown key: known are SQLALCHEMY_BINDS, SQLALCHEMY_DATABASE_URI, SQLALCHEMY_ECHO, ` +
				`SQLALCHEMY_ENGINE_OPTIONS, SQLALCHEMY_RECORD_QUERIES, SQLALCHEMY_TRACK_MODIFICATIONS, app_name, binds, database_uri, ` +
				`defaults, echo, engine_options, foreign_keys, instance_path, leak_threshold, log_args, log_statements, record_queries, slow_query`,
		}},
		{"unknown option", `{"binds": {"auth": {"pool_sice": 3, "url": "a://"}}}`, []string{
			`auth/pool_sice: unknown key: known are conn_max_idle_time, conn_max_lifetime, connect_timeout, echo, log_statements, ` +
				`max_idle_conns, max_open_conns, max_overflow, on_connect, optional, pool_pre_ping, pool_recycle, pool_size, pool_timeout, unmanaged, url`,
		}},
		{"key of Go", `{"engine_options": {"tls": "s3cr3t"}, "defaults": {"hooks": []}, "logger": 1}`, []string{
			`/hooks: unknown key: it can only be set in Go`, // The prefix is checked below.
			`/logger: unknown key: it can only be set in Go`, `/tls: unknown key: it can only be set in Go`,
		}},
		{"options of SQLAlchemy", `{"binds": {"a": {"connect_args": {"password": "s3cr3t"}, "isolation_level": "s3cr3t"}}}`, []string{
			`a/connect_args: unknown key: write them as parameters of the URL`,
			`a/isolation_level: unknown key: set it for each transaction`,
		}},
		{"wrong types", `{"database_uri": 5, "engine_options": 7, "binds": "a://u:s3cr3t@h", "instance_path": true,
			"echo": "s3cr3t", "foreign_keys": "true", "defaults": []}`, []string{
			`/binds: want an object of URLs or options by bind key, not a string`,
			`/database_uri: want a string, not a number`,
			`/defaults: want a URL or an object of options, not a list`,
			`/echo: want true, false or "debug", not another string`,
			`/engine_options: want a URL or an object of options, not a number`,
			`/foreign_keys: want true or false, not a string`,
			`/instance_path: want a string, not a boolean`,
		}},
		{"wrong types of options", `{"binds": {"auth": {"url": {"password": "s3cr3t"}, "max_open_conns": "3", "max_idle_conns": 1.5,
			"conn_max_lifetime": "3600", "conn_max_idle_time": "s3cr3t", "pool_timeout": true, "connect_timeout": 9999999999999,
			"on_connect": "s3cr3t", "log_statements": 1, "unmanaged": null, "pool_pre_ping": "s3cr3t"}, "b": 5}}`, []string{
			`auth/conn_max_idle_time: want a duration such as "90s" or "1h30m", or a number of seconds`,
			`auth/conn_max_lifetime: want a duration such as "90s" or "1h30m", or a number of seconds`,
			`auth/connect_timeout: is out of range: want a number of seconds`,
			`auth/log_statements: want true or false, not a number`,
			`auth/max_idle_conns: want a whole number of at most 32 bits`,
			`auth/max_open_conns: want a whole number, not a string`,
			`auth/on_connect: want a list of strings, not a string`,
			`auth/pool_pre_ping: want true or false, not a string`,
			`auth/pool_timeout: want a duration or a number of seconds, not a boolean`,
			`auth/url: want a string, not an object`,
			`b/binds: want a URL or an object of options, not a number`,
		}},
		{"pool words out of range", `{"binds": {"auth": {"pool_size": -1, "max_overflow": -2, "pool_recycle": "abc", "on_connect": ["A", 5]}}}`, []string{
			`auth/max_overflow: want a number of connections, or -1 for no limit`,
			`auth/on_connect: want a list of strings, not with a number in it`,
			`auth/pool_recycle: want a duration such as "90s" or "1h30m", or a number of seconds`,
			`auth/pool_size: want a positive number of connections, or 0 for no limit`,
		}},
		{"two words for one thing", `{"database_uri": "a://", "SQLALCHEMY_DATABASE_URI": "b://",
			"binds": {"auth": {"pool_recycle": 1, "conn_max_lifetime": 2, "pool_size": 1, "max_open_conns": 2, "max_idle_conns": 3}}}`, []string{
			// Which of two comes first differs, so the field is left out below.
			`: is given twice: leave out all but one of conn_max_lifetime, pool_recycle`,
			`: is given twice: leave out all but one of database_uri, SQLALCHEMY_DATABASE_URI`,
			`auth/max_idle_conns: is given beside pool_size or max_overflow: leave out one or the other`,
			`auth/max_open_conns: is given beside pool_size or max_overflow: leave out one or the other`,
		}},
		{"a feature that is not there", `{"SQLALCHEMY_TRACK_MODIFICATIONS": true}`, []string{
			`/SQLALCHEMY_TRACK_MODIFICATIONS: is not supported here: set it to false, or leave it out`,
		}},
	}
	for _, tt := range tests {
		for library, unmarshal := range libraries {
			t.Run(tt.name+" by "+library, func(t *testing.T) {
				t.Parallel()

				before := echobun.Config{DatabaseURI: "before://", Binds: echobun.Binds{"x": {URL: "x://"}}}
				cfg := before
				err := unmarshal([]byte(tt.text), &cfg)
				var got []string
				for _, fault := range faults(t, err) {
					field := strings.TrimPrefix(fault.Field, "defaults.")
					text := fault.Bind + "/" + field + ": " + fault.Err.Error()
					if strings.Contains(text, "given twice") {
						text = ": " + fault.Err.Error()
					}
					got = append(got, text)
				}
				require.ElementsMatch(t, tt.want, got)
				require.NotContains(t, err.Error(), "s3cr3t")
				require.Equal(t, plain(before), plain(cfg), "a failure changes nothing")
			})
		}
	}
}

func TestConfigErrorPaths(t *testing.T) {
	t.Parallel()

	err := json.Unmarshal([]byte(`{"defaults": {"nope": 1}}`), new(echobun.Config))
	require.Equal(t, "defaults.nope", onlyFault(t, err).Field)

	err = json.Unmarshal([]byte(`{"SQLALCHEMY_ENGINE_OPTIONS": {"pool_size": {}}}`), new(echobun.Config))
	require.Equal(t, "pool_size", onlyFault(t, err).Field)
	require.EqualError(t, err, `echobun: config of default bind: pool_size: want a whole number, not an object`)

	err = json.Unmarshal([]byte(`{"binds": {"auth": "a://", "auth": "b://"}}`), new(echobun.Config))
	require.EqualError(t, err, `echobun: config of bind "auth": binds: bind key is given twice: leave out one`)

	err = json.Unmarshal([]byte(`{"url": "a://", "url": "b://"}`), new(echobun.EngineOptions))
	require.EqualError(t, err, `echobun: config of default bind: url: is given twice: leave out all but one of url`)

	err = json.Unmarshal([]byte(`5`), new(echobun.EngineOptions))
	require.EqualError(t, err, `echobun: config of default bind: EngineOptions: want a URL or an object of options, not a number`)

	err = json.Unmarshal([]byte(`[]`), new(echobun.Binds))
	require.EqualError(t, err, `echobun: config of default bind: Binds: want an object of URLs or options by bind key, not a list`)

	err = new(echobun.Config).UnmarshalJSON([]byte(`{"database_uri": "a://u:s3cr3t@h"`))
	require.ErrorContains(t, err, "unexpected end of JSON input")
	require.NotContains(t, err.Error(), "s3cr3t")
}

func TestUnmarshalKeepsWhatIsNotMentioned(t *testing.T) {
	t.Parallel()

	cfg := echobun.Config{
		DatabaseURI:   "a://",
		EngineOptions: echobun.EngineOptions{MaxOpenConns: 3, DB: newIdleDB(t)},
		Binds:         echobun.Binds{"a": {URL: "a://", MaxOpenConns: 3}, "b": {URL: "b://"}},
	}
	before := cfg.Binds
	require.NoError(t, json.Unmarshal([]byte(`{"engine_options": {"url": "c://"}, "binds": {"a": "d://"}}`), &cfg))
	require.Equal(t, "a://", cfg.DatabaseURI)
	require.Equal(t, 3, cfg.EngineOptions.MaxOpenConns)
	require.NotNil(t, cfg.EngineOptions.DB)
	require.Equal(t, "c://", cfg.EngineOptions.URL)
	require.Equal(t, raw(echobun.EngineOptions{URL: "d://"}), raw(cfg.Binds["a"]))
	require.Equal(t, "b://", cfg.Binds["b"].URL)
	require.Equal(t, "a://", before["a"].URL, "a map that is shared is not written to")

	require.NoError(t, json.Unmarshal([]byte(`null`), &cfg))
	require.Equal(t, "a://", cfg.DatabaseURI)
}

func TestEngineOptionsUnmarshalText(t *testing.T) {
	t.Parallel()

	o := echobun.EngineOptions{MaxOpenConns: 3}
	require.NoError(t, o.UnmarshalText([]byte("mysql://h/d")))
	require.Equal(t, raw(echobun.EngineOptions{URL: "mysql://h/d", MaxOpenConns: 3}), raw(o))
}
