package echobun_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// What a driver finds wrong with a URL is told of the field that it is from.
func TestDriverFaultsNameTheField(t *testing.T) {
	t.Parallel()
	const bad = "postgresql://h/d?sslmode=sometimes"
	for field, cfg := range map[string]echobun.Config{
		"DatabaseURI":       {DatabaseURI: bad},
		"EngineOptions.URL": {EngineOptions: echobun.EngineOptions{URL: bad}},
		"URL":               {Binds: echobun.Binds{"": {URL: bad}}},
	} {
		_, err := echobun.New(cfg)
		require.Equal(t, field, onlyFault(t, err).Field, "%v", err)
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	registerIdle()

	db := newIdleDB(t)
	named := func(o echobun.EngineOptions) echobun.Config { return echobun.Config{Binds: echobun.Binds{"auth": o}} }
	tests := []struct {
		name        string
		cfg         echobun.Config
		bind, field string
		want        string
	}{
		{"nothing", echobun.Config{}, "", "DatabaseURI", "either Config.DatabaseURI or Config.Binds must be set"},
		{
			"options alone",
			echobun.Config{EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}},
			"", "DatabaseURI",
			"either Config.DatabaseURI or Config.Binds must be set",
		},
		{"no URL", named(echobun.EngineOptions{}), "auth", "URL", `missing: set it to a URL such as "sqlite:///app.db", or set DB`},
		{"default bind without URL", echobun.Config{Binds: echobun.Binds{"": {}}}, "", "URL", "missing"},
		{"bad URL", named(echobun.EngineOptions{URL: "idle://u:p@s3cr3t@h"}), "auth", "URL", "write %40"},
		{"bad URI", echobun.Config{DatabaseURI: "u:s3cr3t@h"}, "", "DatabaseURI", "does not start with a scheme"},
		{
			"bad URL of options",
			echobun.Config{EngineOptions: echobun.EngineOptions{URL: "idle://u:s3cr3t@h:x"}},
			"",
			"EngineOptions.URL", "port in URL",
		},
		{"unknown scheme", named(echobun.EngineOptions{URL: "oracle://u:s3cr3t@h"}), "auth", "URL", `no driver for "oracle"`},
		{"space in key", echobun.Config{Binds: echobun.Binds{" a": {URL: "idle://h"}}}, " a", "Binds", "begins or ends with a space"},
		{"NUL in key", echobun.Config{Binds: echobun.Binds{"a\x00": {URL: "idle://h"}}}, "a\x00", "Binds", "control character"},
		{"bad UTF-8 in key", echobun.Config{Binds: echobun.Binds{"a\xff": {URL: "idle://h"}}}, "a\xff", "Binds", "UTF-8"},
		{
			"long key",
			echobun.Config{Binds: echobun.Binds{strings.Repeat("k", 64): {URL: "idle://h"}}},
			strings.Repeat("k", 64), "Binds", "64 bytes: use at most 63",
		},
		{
			"idle above open", named(echobun.EngineOptions{URL: "idle://h", MaxIdleConns: 16}), "auth", "MaxIdleConns",
			"16 is more than MaxOpenConns, which is 15",
		},
		{
			"empty statement", named(echobun.EngineOptions{URL: "idle://h", OnConnect: []string{"A", " "}}), "auth",
			"OnConnect[1]", "is empty",
		},
		{
			"nil hook", named(echobun.EngineOptions{URL: "idle://h", Hooks: []bun.QueryHook{nil}}), "auth", "Hooks[0]", "is nil",
		},
		{
			"URL in Defaults",
			echobun.Config{DatabaseURI: "idle://h", Defaults: echobun.EngineOptions{URL: "idle://u:s3cr3t@h"}},
			"", "Defaults.URL", "must be empty",
		},
		{
			"DB in Defaults",
			echobun.Config{DatabaseURI: "idle://h", Defaults: echobun.EngineOptions{DB: db}},
			"", "Defaults.DB", "must be nil",
		},
		{"URL and DB", named(echobun.EngineOptions{URL: "idle://u:s3cr3t@h", DB: db}), "auth", "URL", "beside DB"},
		{
			"URI and DB",
			echobun.Config{DatabaseURI: "idle://h", EngineOptions: echobun.EngineOptions{DB: db}},
			"", "URL", "beside DB",
		},
		{"open and DB", named(echobun.EngineOptions{MaxOpenConns: 1, DB: db}), "auth", "MaxOpenConns", "beside DB"},
		{"idle and DB", named(echobun.EngineOptions{MaxIdleConns: 1, DB: db}), "auth", "MaxIdleConns", "beside DB"},
		{"lifetime and DB", named(echobun.EngineOptions{ConnMaxLifetime: 1, DB: db}), "auth", "ConnMaxLifetime", "beside DB"},
		{"idle time and DB", named(echobun.EngineOptions{ConnMaxIdleTime: 1, DB: db}), "auth", "ConnMaxIdleTime", "beside DB"},
		{"pool timeout and DB", named(echobun.EngineOptions{PoolTimeout: 1, DB: db}), "auth", "PoolTimeout", "beside DB"},
		{"connect timeout and DB", named(echobun.EngineOptions{ConnectTimeout: 1, DB: db}), "auth", "ConnectTimeout", "beside DB"},
		{"TLS and DB", named(echobun.EngineOptions{TLS: &tls.Config{}, DB: db}), "auth", "TLS", "beside DB"},
		{"statements and DB", named(echobun.EngineOptions{OnConnect: []string{"A"}, DB: db}), "auth", "OnConnect", "beside DB"},
		{"zero DB", named(echobun.EngineOptions{DB: &bun.DB{}}), "auth", "DB", "was not made by bun.NewDB"},
		{
			"one DB twice",
			echobun.Config{Binds: echobun.Binds{"a": {DB: db}, "b": {DB: db}}},
			"b", "DB",
			`shares its dialect, and so its tables, with bind "a"`,
		},
		{
			"a clone of DB", echobun.Config{
				EngineOptions: echobun.EngineOptions{DB: db}, Binds: echobun.Binds{"b": {DB: db.WithQueryHook(idleHook{})}},
			}, "b", "DB", "shares its dialect, and so its tables, with default bind",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			_, err := tt.cfg.Resolve()
			fault := onlyFault(t, err)
			require.Equal(t, tt.bind, fault.Bind)
			require.Equal(t, tt.field, fault.Field)
			require.ErrorContains(t, fault.Err, tt.want)
			require.NotContains(t, err.Error(), "s3cr3t")
		})
	}
}

func TestResolveJoinsAllErrors(t *testing.T) {
	t.Parallel()
	registerIdle()

	_, err := echobun.Config{
		DatabaseURI: "nowhere://u:s3cr3t@h",
		Binds: echobun.Binds{
			"a": {URL: "idle://u:s3cr3t@h:x", OnConnect: []string{""}},
			"b": {URL: "idle://h", MaxOpenConns: 1, MaxIdleConns: 2},
			"c": {},
		},
		Defaults: echobun.EngineOptions{URL: "idle://u:s3cr3t@h"},
	}.Resolve()
	var got []string
	for _, fault := range faults(t, err) {
		got = append(got, fault.Bind+"."+fault.Field)
	}
	require.Equal(t, []string{".Defaults.URL", ".DatabaseURI", "a.URL", "a.OnConnect[0]", "b.MaxIdleConns", "c.URL"}, got)
	require.NotContains(t, err.Error(), "s3cr3t")
}

// faults returns the joined mistakes of a configuration.
func faults(t *testing.T, err error) []*echobun.ConfigError {
	t.Helper()

	require.Error(t, err)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	var out []*echobun.ConfigError
	for _, e := range joined.Unwrap() {
		var fault *echobun.ConfigError
		require.ErrorAs(t, e, &fault)
		out = append(out, fault)
	}
	return out
}

func onlyFault(t *testing.T, err error) *echobun.ConfigError {
	t.Helper()

	all := faults(t, err)
	require.Len(t, all, 1, "%v", err)
	return all[0]
}
