package otelechobun_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/otelechobun"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	w := watch(t, twoBinds(t), otelechobun.WithAttributes(attribute.String("team", "blue")))
	ctx, db, _ := w.session(t)
	start := time.Now()
	for range 3 {
		require.NoError(t, db.NewSelect().Model(new([]user)).Scan(ctx))
	}
	took := time.Since(start)
	require.NoError(t, ran(db.NewInsert().Model(&book{Title: "a"}).Exec(ctx)))
	require.Error(t, ran(db.NewInsert().Model(&book{Title: "a"}).Exec(ctx)))

	m := w.collect(t)["db.client.operation.duration"]
	require.Equal(t, "s", m.Unit)
	h, ok := m.Data.(metricdata.Histogram[float64])
	require.True(t, ok)
	find := func(bind, op, table, code string) metricdata.HistogramDataPoint[float64] {
		for _, p := range h.DataPoints {
			got := valuesOf(p.Attributes.ToSlice())
			if got["echobun.bind"] != bind || got["db.operation.name"] != op || got["db.collection.name"] != table || (code == "") != (got["error.type"] == nil) {
				continue
			}
			require.Equal(t, "blue", got["team"])
			require.Equal(t, "sqlite", got["db.system.name"])
			require.NotContains(t, got, attribute.Key("db.query.text"))
			if code != "" {
				require.Equal(t, code, got["error.type"])
				require.Equal(t, code, got["db.response.status_code"])
			}
			return p
		}
		t.Fatalf("no %s on %q", op, bind)
		return metricdata.HistogramDataPoint[float64]{}
	}
	p := find("auth", "SELECT", "users", "")
	require.Equal(t, []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}, p.Bounds)
	require.EqualValues(t, 3, p.Count)
	require.Positive(t, p.Sum)
	require.LessOrEqual(t, p.Sum, took.Seconds())
	require.EqualValues(t, 1, find("", "INSERT", "books", "").Count)
	require.EqualValues(t, 1, find("", "INSERT", "books", "2067").Count)
}

func TestPoolMetrics(t *testing.T) {
	t.Parallel()
	w := watch(t, echobun.Config{
		DatabaseURI:   sqliteURL(t),
		EngineOptions: echobun.EngineOptions{MaxOpenConns: 3, MaxIdleConns: 2, PoolTimeout: 20 * time.Millisecond},
		Binds:         echobun.Binds{"auth": {URL: sqliteURL(t), MaxOpenConns: -1}},
	})
	registration, err := otelechobun.RegisterPoolMetrics(w.Extension,
		otelechobun.WithMeterProvider(w.meters), otelechobun.WithAttributes(attribute.String("team", "blue")))
	require.NoError(t, err)
	ctx, db, _ := w.session(t)
	for range 3 {
		conn, err := w.Engine().DB.Conn(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	require.ErrorIs(t, ran(db.Bind("").ExecContext(ctx, "SELECT 1")), echobun.ErrPoolTimeout)
	require.NoError(t, ran(db.Bind("auth").ExecContext(ctx, "SELECT 1")))

	type point struct{ name, pool, bind, state string }
	collect := func() map[point]int64 {
		got := make(map[point]int64)
		for name, m := range w.collect(t) {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue
			}
			require.Equal(t, name == "db.client.connection.timeouts", sum.IsMonotonic, name)
			for _, p := range sum.DataPoints {
				v := func(key attribute.Key) string { value, _ := p.Attributes.Value(key); return value.AsString() }
				require.Equal(t, "blue", v("team"))
				got[point{name, v("db.client.connection.pool.name"), v("echobun.bind"), v("db.client.connection.state")}] = p.Value
			}
		}
		return got
	}
	const prefix = "db.client.connection."
	require.Equal(t, map[point]int64{
		{prefix + "count", "default", "", "used"}:        3,
		{prefix + "count", "default", "", "idle"}:        0,
		{prefix + "max", "default", "", ""}:              3,
		{prefix + "idle.max", "default", "", ""}:         2,
		{prefix + "pending_requests", "default", "", ""}: 0,
		{prefix + "timeouts", "default", "", ""}:         1,

		{prefix + "count", "auth", "auth", "used"}:        0,
		{prefix + "count", "auth", "auth", "idle"}:        1,
		{prefix + "pending_requests", "auth", "auth", ""}: 0,
		{prefix + "timeouts", "auth", "auth", ""}:         0,
	}, collect())
	require.NoError(t, registration.Unregister())
	require.Empty(t, collect())
}

// TestOwnEngine: of an engine of the user's own, database/sql's numbers are known.
func TestOwnEngine(t *testing.T) {
	t.Parallel()
	outer := watch(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	w := watch(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: bun.NewDB(outer.Engine().DB, outer.Engine().Dialect())}})
	_, err := otelechobun.RegisterPoolMetrics(w.Extension, otelechobun.WithMeterProvider(w.meters))
	require.NoError(t, err)
	ctx, db, _ := w.session(t)
	require.NoError(t, db.NewSelect().Model(new([]book)).Scan(ctx))
	_, spans := w.take()
	require.Equal(t, "SELECT books", spans[0].Name)
	m := w.collect(t)
	require.Contains(t, m, "db.client.connection.count")
	require.NotContains(t, m, "db.client.connection.pending_requests")
}

// countingHook counts the statements that it sees.
type countingHook struct{ n *atomic.Int64 }

func (countingHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h countingHook) AfterQuery(context.Context, *bun.QueryEvent) { h.n.Add(1) }

// TestInstrumentKeepsHooks: those that a bind has, or would have had from the
// defaults, go on; and what the caller's Config refers to stays as it is.
func TestInstrumentKeepsHooks(t *testing.T) {
	t.Parallel()
	hooks := func(n *atomic.Int64) []bun.QueryHook { return []bun.QueryHook{countingHook{n}} }
	for name, tc := range map[string]struct {
		cfg         func(n *atomic.Int64) echobun.Config
		first, auth int
	}{
		"defaults": {func(n *atomic.Int64) echobun.Config {
			return echobun.Config{Defaults: echobun.EngineOptions{Hooks: hooks(n)}, Binds: echobun.Binds{"": {}, "auth": {}}}
		}, 1, 1},
		"binds": {func(n *atomic.Int64) echobun.Config {
			return echobun.Config{Binds: echobun.Binds{"": {Hooks: hooks(n)}, "auth": {Hooks: hooks(n)}}}
		}, 1, 1},
		"none in place of the defaults": {func(n *atomic.Int64) echobun.Config {
			return echobun.Config{
				Defaults: echobun.EngineOptions{Hooks: hooks(n)}, EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{}},
				Binds: echobun.Binds{"": {}, "auth": {Hooks: []bun.QueryHook{}}},
			}
		}, 0, 0},
		"options": {func(n *atomic.Int64) echobun.Config {
			return echobun.Config{EngineOptions: echobun.EngineOptions{Hooks: hooks(n)}, Binds: echobun.Binds{"": {}, "auth": {}}}
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := new(atomic.Int64)
			cfg := tc.cfg(n)
			for key, bind := range cfg.Binds {
				bind.URL = sqliteURL(t)
				cfg.Binds[key] = bind
			}
			before := len(cfg.Binds[""].Hooks) + len(cfg.Binds["auth"].Hooks) + len(cfg.EngineOptions.Hooks)
			w := watch(t, cfg)
			require.Equal(t, before, len(cfg.Binds[""].Hooks)+len(cfg.Binds["auth"].Hooks)+len(cfg.EngineOptions.Hooks))
			ctx, db, _ := w.session(t)
			for bind, want := range map[string]int{"": tc.first, "auth": tc.auth} {
				n.Store(0)
				require.NoError(t, ran(db.Bind(bind).ExecContext(ctx, "SELECT 1")))
				require.EqualValues(t, want, n.Load(), "%q", bind)
				_, spans := w.take()
				require.Len(t, spans, 1)
				require.Equal(t, bind, attrs(spans[0])["echobun.bind"])
			}
		})
	}
}

// TestNoDefaultBind: instrumenting makes no bind that is not there.
func TestNoDefaultBind(t *testing.T) {
	t.Parallel()
	cfg := echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}}
	otelechobun.Instrument(&cfg)
	x, err := echobun.New(cfg)
	require.NoError(t, err)
	require.Nil(t, x.Engine())
	require.NoError(t, x.Close())
}
