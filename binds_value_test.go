package echobun_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

func TestEngineOptionsSQLAlchemyWords(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		text string
		want echobun.EngineOptions
	}{
		{"size", `{"pool_size": 3}`, echobun.EngineOptions{MaxIdleConns: 3, MaxOpenConns: 13}},
		{"size without limit", `{"pool_size": 0, "max_overflow": 4}`, echobun.EngineOptions{MaxIdleConns: -1, MaxOpenConns: -1}},
		{"overflow", `{"max_overflow": 0}`, echobun.EngineOptions{MaxIdleConns: 5, MaxOpenConns: 5}},
		{"size and overflow", `{"max_overflow": 4, "pool_size": 3}`, echobun.EngineOptions{MaxIdleConns: 3, MaxOpenConns: 7}},
		{"overflow without limit", `{"pool_size": 3, "max_overflow": -1}`, echobun.EngineOptions{MaxIdleConns: 3, MaxOpenConns: -1}},
		{"largest", `{"pool_size": 2147483647}`, echobun.EngineOptions{MaxIdleConns: 2147483647, MaxOpenConns: 2147483647}},
		{"recycle", `{"pool_recycle": 3600}`, echobun.EngineOptions{ConnMaxLifetime: time.Hour}},
		{"recycle, duration", `{"pool_recycle": "90s"}`, echobun.EngineOptions{ConnMaxLifetime: 90 * time.Second}},
		{"recycle never", `{"pool_recycle": -1}`, echobun.EngineOptions{ConnMaxLifetime: -1}},
		{"recycle always", `{"pool_recycle": 0}`, echobun.EngineOptions{ConnMaxLifetime: 1}},
		{"timeout", `{"pool_timeout": 2.5}`, echobun.EngineOptions{PoolTimeout: 2500 * time.Millisecond}},
		{"timeout never", `{"pool_timeout": -1}`, echobun.EngineOptions{PoolTimeout: -1}},
		{"timeout at once", `{"pool_timeout": 0}`, echobun.EngineOptions{PoolTimeout: 1}},
		{"tiny timeout", `{"pool_timeout": 0.0000000000001}`, echobun.EngineOptions{PoolTimeout: 1}},
		{
			"numbers in strings", `{"pool_size": "3", "max_overflow": "-1", "pool_recycle": "3600", "pool_timeout": " 5 "}`,
			echobun.EngineOptions{MaxIdleConns: 3, MaxOpenConns: -1, ConnMaxLifetime: time.Hour, PoolTimeout: 5 * time.Second},
		},
		{"pre-ping", `{"pool_pre_ping": true}`, echobun.EngineOptions{}},
	}
	for _, tt := range tests {
		for library, unmarshal := range libraries {
			t.Run(tt.name+" by "+library, func(t *testing.T) {
				t.Parallel()

				var o echobun.EngineOptions
				require.NoError(t, unmarshal([]byte(tt.text), &o))
				require.Equal(t, raw(tt.want), raw(o))
			})
		}
	}

	for text, want := range map[string]bool{`true`: true, `"debug"`: true, `"Yes"`: true, `false`: false, `"off"`: false} {
		var o echobun.EngineOptions
		require.NoError(t, json.Unmarshal([]byte(`{"echo": `+text+`}`), &o))
		require.Equal(t, want, *o.LogStatements, text)
	}
}

func TestBindsYAML(t *testing.T) {
	t.Parallel()

	for library, unmarshal := range yamlLibraries {
		t.Run(library, func(t *testing.T) {
			t.Parallel()

			var cfg echobun.Config
			require.NoError(t, unmarshal([]byte("SQLALCHEMY_BINDS:\n  null: a://\n  1: b://\n  meta:\n"), &cfg))
			require.Equal(t, plain(echobun.Config{Binds: echobun.Binds{"": {URL: "a://"}, "1": {URL: "b://"}, "meta": {}}}), plain(cfg))

			_, err := cfg.Resolve()
			require.ErrorContains(t, err, `config of bind "meta": URL: missing`)

			var app struct {
				Binds echobun.Binds
				Auth  *echobun.EngineOptions
				Each  map[string]echobun.EngineOptions
			}
			text := "binds: {a: a://, ~: b://}\nauth: {pool_size: 0}\neach: {c: c://, d: {url: d://}}\n"
			require.NoError(t, unmarshal([]byte(text), &app))
			require.Equal(t, "a://", app.Binds["a"].URL)
			require.Equal(t, "b://", app.Binds[echobun.DefaultBind].URL)
			require.Equal(t, -1, app.Auth.MaxOpenConns)
			require.Equal(t, "c://", app.Each["c"].URL)
			require.Equal(t, "d://", app.Each["d"].URL)

			require.NoError(t, unmarshal([]byte("defaults: &d {pool_recycle: 1h}\nbinds: {a: {<<: *d, url: a://}}\n"), &cfg))
			require.Equal(t, time.Hour, cfg.Binds["a"].ConnMaxLifetime)

			err = unmarshal([]byte("binds:\n  '': b://\n  null: a://\n"), new(echobun.Config))
			require.ErrorContains(t, err, "bind key is given twice")

			err = unmarshal([]byte("url: !!binary czNjcjN0\npool_timeout: .nan\nunmanaged: 2020-01-01\n"), new(echobun.EngineOptions))
			require.ErrorContains(t, err, "pool_timeout: is out of range")
			require.ErrorContains(t, err, "unmanaged: want true or false")
		})
	}
}

// An error of the library itself is passed on without the text around it.
func TestUnmarshalYAMLPassesErrorsOn(t *testing.T) {
	t.Parallel()

	broken := func(any) error { return errors.New("broken") }
	require.EqualError(t, new(echobun.Config).UnmarshalYAML(broken), "echobun: config: broken")
	require.EqualError(t, new(echobun.Binds).UnmarshalYAML(broken), "echobun: config: broken")
	require.EqualError(t, new(echobun.EngineOptions).UnmarshalYAML(broken), "echobun: config: broken")

	quoting := func(any) error { return quotingError{} }
	require.EqualError(t, new(echobun.Config).UnmarshalYAML(quoting), "echobun: config: [1:1] broken")
}

// quotingError is an error as goccy/go-yaml makes them.
type quotingError struct{}

func (quotingError) Error() string { return "[1:1] broken\n> 1 | url: s3cr3t" }

func (e quotingError) FormatError(_, source bool) string {
	if source {
		return e.Error()
	}
	return "[1:1] broken"
}

func FuzzConfigJSON(f *testing.F) {
	for _, seed := range []string{
		`{"SQLALCHEMY_DATABASE_URI":"postgresql://u:MARKER@h/d","SQLALCHEMY_BINDS":{"a":"mysql://u:MARKER@h","b":{"url":"x","pool_size":"MARKER"}}}`,
		`{"binds":{"a":{"url":"sqlite:///MARKER","on_connect":["MARKER"],"pool_timeout":-1,"echo":"MARKER"}}}`,
		`{"database_uri":"x://u:p@MARKER@h","database_uri":"MARKER","defaults":"u:MARKER@h","engine_options":["MARKER"]}`,
		`{"instance_path":1e999,"engine_options":{"conn_max_lifetime":1e18,"max_open_conns":99999999999}}`,
		`{"binds":{"a":{"url":"x://u:MARKER@[::1"}}}`, `{"echo":{"a":[{"MARKER":null}]}}`, `[`, `null`, `"MARKER"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var cfg echobun.Config
		if err := cfg.UnmarshalJSON([]byte(text)); err != nil {
			require.Zero(t, cfg.DatabaseURI)
			requireMasked(t, text, err.Error())
			return
		}
		if _, err := cfg.Resolve(); err != nil {
			requireMasked(t, text, err.Error())
		}
		again, err := json.Marshal(cfg)
		require.NoError(t, err)
		require.True(t, json.Valid(again))
	})
}

// requireMasked fails if a marker that text has in a value shows. Keys may show.
func requireMasked(t *testing.T, text, shown string) {
	t.Helper()

	if !strings.Contains(shown, "MARKER") {
		return
	}
	dec := json.NewDecoder(strings.NewReader(text))
	var v any
	if dec.Decode(&v) == nil && !keyHas(v, "MARKER") && !strings.Contains(text, "MARKER://") {
		require.NotContains(t, shown, "MARKER")
	}
}

// keyHas reports whether a key anywhere in v contains s.
func keyHas(v any, s string) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if strings.Contains(name, s) || keyHas(value, s) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if keyHas(value, s) {
				return true
			}
		}
	}
	return false
}
