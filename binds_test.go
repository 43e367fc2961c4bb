package echobun_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/driver"
)

// idleDriver stands for a database that is never used. Its scheme is its own,
// so its defaults are those of every database without special ones.
type idleDriver struct{}

func (idleDriver) Dialect() schema.Dialect     { return sqlitedialect.New() }
func (idleDriver) Classify(error) driver.Class { return 0 }
func (idleDriver) Connector(*driver.URL, driver.Options) (sqldriver.Connector, error) {
	return nil, errors.New("idle")
}

type idleConnector struct{}

func (idleConnector) Connect(context.Context) (sqldriver.Conn, error) { return nil, errors.New("idle") }
func (idleConnector) Driver() sqldriver.Driver                        { return nil }

type idleHook struct{}

func (idleHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (idleHook) AfterQuery(context.Context, *bun.QueryEvent)                        {}

var registerIdle = sync.OnceFunc(func() { driver.Register("idle", idleDriver{}) })

func TestResolvePrecedence(t *testing.T) {
	t.Parallel()
	registerIdle()

	yes, no := true, false
	tests := []struct {
		name string
		cfg  echobun.Config
		want echobun.EngineOptions // Of the default bind, before defaults.
		host string
	}{
		{
			"URI over all",
			echobun.Config{
				DatabaseURI:   "idle://uri",
				EngineOptions: echobun.EngineOptions{URL: "idle://options", MaxOpenConns: 1},
				Binds:         echobun.Binds{"": {URL: "idle://bind", MaxOpenConns: 2, MaxIdleConns: 1}},
				Defaults:      echobun.EngineOptions{MaxOpenConns: 3, MaxIdleConns: 3, PoolTimeout: 4},
			},
			echobun.EngineOptions{URL: "idle://uri", MaxOpenConns: 1, MaxIdleConns: 1, PoolTimeout: 4},
			"uri",
		},
		{
			"EngineOptions over Binds",
			echobun.Config{
				EngineOptions: echobun.EngineOptions{URL: "idle://options", LogStatements: &no},
				Binds:         echobun.Binds{"": {URL: "idle://bind", LogStatements: &yes, ConnMaxIdleTime: 7}},
			},
			echobun.EngineOptions{URL: "idle://options", LogStatements: &no, ConnMaxIdleTime: 7},
			"options",
		},
		{
			"EngineOptions without a URL over Binds",
			echobun.Config{
				EngineOptions: echobun.EngineOptions{ConnMaxLifetime: 5},
				Binds:         echobun.Binds{"": {URL: "idle://bind", ConnMaxLifetime: 6}},
			},
			echobun.EngineOptions{URL: "idle://bind", ConnMaxLifetime: 5},
			"bind",
		},
		{
			"Binds over Defaults",
			echobun.Config{
				Binds:    echobun.Binds{"": {URL: "idle://bind", OnConnect: []string{"A"}, ConnectTimeout: -1}},
				Defaults: echobun.EngineOptions{OnConnect: []string{"B", "C"}, ConnectTimeout: 9, Unmanaged: true},
			},
			echobun.EngineOptions{URL: "idle://bind", OnConnect: []string{"A"}, ConnectTimeout: -1, Unmanaged: true},
			"bind",
		},
		{
			"empty slice over Defaults",
			echobun.Config{
				DatabaseURI:   "idle://uri",
				EngineOptions: echobun.EngineOptions{OnConnect: []string{}, Hooks: []bun.QueryHook{}},
				Defaults:      echobun.EngineOptions{OnConnect: []string{"B"}, Hooks: []bun.QueryHook{nil}},
			},
			echobun.EngineOptions{URL: "idle://uri", OnConnect: []string{}, Hooks: []bun.QueryHook{}},
			"uri",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			binds, err := tt.cfg.Resolve()
			require.NoError(t, err)
			require.Len(t, binds, 1)
			require.Equal(t, tt.host, binds[0].URL.Host)
			require.Equal(t, raw(withDefaults(tt.want)), raw(binds[0].Options))
		})
	}
}

// withDefaults fills in what the documentation of EngineOptions promises.
func withDefaults(o echobun.EngineOptions) echobun.EngineOptions {
	if o.MaxOpenConns == 0 {
		o.MaxOpenConns = 15
	}
	if o.MaxIdleConns == 0 {
		o.MaxIdleConns = o.MaxOpenConns
	}
	if o.ConnMaxLifetime == 0 {
		o.ConnMaxLifetime = 30 * time.Minute
	}
	if o.ConnMaxIdleTime == 0 {
		o.ConnMaxIdleTime = 5 * time.Minute
	}
	if o.PoolTimeout == 0 {
		o.PoolTimeout = 30 * time.Second
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	return o
}

// raw is EngineOptions without its methods, so that a failing test shows what
// is in it.
func raw(o echobun.EngineOptions) any {
	type plain echobun.EngineOptions
	return plain(o)
}

func TestResolveNamedBinds(t *testing.T) {
	t.Parallel()
	registerIdle()

	binds, err := echobun.Config{
		EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}, // Unused: there is no default bind.
		Binds:         echobun.Binds{"b": {URL: "idle://b", PoolTimeout: -1}, "a": {URL: "idle://a", MaxOpenConns: -1}},
		Defaults:      echobun.EngineOptions{PoolTimeout: time.Second, MaxIdleConns: 2},
	}.Resolve()
	require.NoError(t, err)
	require.Len(t, binds, 2)
	require.Equal(t, "a", binds[0].Key)
	require.Equal(t, "b", binds[1].Key)
	require.Equal(t, raw(withDefaults(echobun.EngineOptions{
		URL: "idle://a", MaxOpenConns: -1, MaxIdleConns: 2, PoolTimeout: time.Second,
	})), raw(binds[0].Options))
	require.Equal(t, raw(withDefaults(echobun.EngineOptions{
		URL: "idle://b", MaxIdleConns: 2, PoolTimeout: -1,
	})), raw(binds[1].Options))

	binds, err = echobun.Config{DatabaseURI: "idle://d", Binds: echobun.Binds{"a": {URL: "idle://a"}}}.Resolve()
	require.NoError(t, err)
	require.Equal(t, echobun.DefaultBind, binds[0].Key, "the default bind comes first")
}

// Of what Defaults say of idle connections, a bind takes as much as it has
// connections; what it says itself must fit.
func TestResolveCapsIdleConns(t *testing.T) {
	t.Parallel()
	registerIdle()

	binds, err := echobun.Config{
		DatabaseURI:   "idle://h",
		EngineOptions: echobun.EngineOptions{MaxOpenConns: 5},
		Binds:         echobun.Binds{"none": {URL: "idle://h", MaxOpenConns: -1}, "other": {URL: "idle://h"}},
		Defaults:      echobun.EngineOptions{MaxOpenConns: 30, MaxIdleConns: 20},
	}.Resolve()
	require.NoError(t, err)
	for i, want := range []int{5, 20, 20} {
		require.Equal(t, want, binds[i].Options.MaxIdleConns, binds[i].Key)
	}

	_, err = echobun.Config{
		DatabaseURI: "idle://h", EngineOptions: echobun.EngineOptions{MaxOpenConns: 5, MaxIdleConns: 6},
	}.Resolve()
	require.Equal(t, "MaxIdleConns", onlyFault(t, err).Field)
}

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

func TestResolveDefaultsByDialect(t *testing.T) {
	t.Parallel()

	tests := []struct {
		url                string
		open               int
		lifetime, idleTime time.Duration
	}{
		{"postgresql://h/d", 15, 30 * time.Minute, 5 * time.Minute},
		{"mysql://h/d", 15, 5 * time.Minute, 5 * time.Minute},
		{"mariadb+pymysql://h/d", 15, 5 * time.Minute, 5 * time.Minute},
		{"sqlite://", 100, -1, -1},
		{"sqlite+aiosqlite:///x.db", 100, -1, -1},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()

			binds, err := echobun.Config{DatabaseURI: tt.url}.Resolve()
			require.NoError(t, err)
			require.Equal(t, raw(echobun.EngineOptions{
				URL: tt.url, MaxOpenConns: tt.open, MaxIdleConns: tt.open, ConnMaxLifetime: tt.lifetime,
				ConnMaxIdleTime: tt.idleTime, PoolTimeout: 30 * time.Second, ConnectTimeout: 10 * time.Second,
			}), raw(binds[0].Options))
		})
	}
}

func TestResolveOwnEngine(t *testing.T) {
	t.Parallel()

	db := newIdleDB(t)
	yes := true
	binds, err := echobun.Config{
		EngineOptions: echobun.EngineOptions{DB: db},
		Defaults:      echobun.EngineOptions{MaxOpenConns: 3, LogStatements: &yes, Unmanaged: true, OnConnect: []string{"A"}},
	}.Resolve()
	require.NoError(t, err)
	require.Nil(t, binds[0].URL)
	require.Equal(t, raw(echobun.EngineOptions{DB: db, LogStatements: &yes, Unmanaged: true}), raw(binds[0].Options))
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

func TestResolveLeavesConfigAlone(t *testing.T) {
	t.Parallel()
	registerIdle()

	yes := true
	original := func() echobun.Config {
		return echobun.Config{
			EngineOptions: echobun.EngineOptions{OnConnect: []string{"A"}, LogStatements: &yes},
			Binds:         echobun.Binds{"": {URL: "idle://h"}, "a": {URL: "idle://h", TLS: &tls.Config{ServerName: "x"}}},
			Defaults:      echobun.EngineOptions{OnConnect: []string{"B"}},
		}
	}
	cfg := original()
	binds, err := cfg.Resolve()
	require.NoError(t, err)

	binds[0].Options.OnConnect[0], *binds[0].Options.LogStatements = "changed", false
	binds[1].Options.OnConnect[0], binds[1].Options.TLS.ServerName = "changed", "changed"
	require.True(t, yes)
	want := original()
	require.Equal(t, raw(want.EngineOptions), raw(cfg.EngineOptions))
	require.Equal(t, raw(want.Defaults), raw(cfg.Defaults))
	require.Equal(t, "x", cfg.Binds["a"].TLS.ServerName)
	require.Len(t, cfg.Binds, 2)
	require.Zero(t, cfg.Binds[""].MaxOpenConns)
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

// newIdleDB returns an engine that never connects.
func newIdleDB(t *testing.T) *bun.DB {
	t.Helper()

	db := bun.NewDB(sql.OpenDB(idleConnector{}), sqlitedialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
