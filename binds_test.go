package echobun_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
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

// newIdleDB returns an engine that never connects.
func newIdleDB(t *testing.T) *bun.DB {
	t.Helper()

	db := bun.NewDB(sql.OpenDB(idleConnector{}), sqlitedialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
