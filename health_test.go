package echobun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// getHealth asks the handler.
func getHealth(t *testing.T, x *echobun.Extension) (status int, body string) {
	t.Helper()
	e := echo.New()
	e.GET("/health", x.HealthHandler())
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/health", nil))
	require.Equal(t, "no-store", rec.Header().Get(echo.HeaderCacheControl))
	return rec.Code, rec.Body.String()
}

func TestHealthUp(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeDatabases(t))
	h := x.Health(t.Context())
	require.True(t, h.Up())
	require.Equal(t, "up", h.Status)
	require.Equal(t, "up, 3 binds", h.String())
	for key, b := range h.Binds {
		require.Equal(t, "up", b.Status, key)
		require.Positive(t, b.Latency, key)
		require.Empty(t, b.Error)
		require.Equal(t, 1, b.Pool.Open, key)
		require.Zero(t, b.Pool.InUse, key)
	}

	status, body := getHealth(t, x)
	require.Equal(t, http.StatusOK, status)
	var read struct {
		Status string
		Binds  map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(body), &read))
	require.Equal(t, "up", read.Status)
	require.Len(t, read.Binds, 3)
	for _, b := range read.Binds {
		require.Greater(t, b["latency_ms"], 0.0)
		delete(b, "latency_ms")
		pool, ok := b["pool"].(map[string]any)
		require.True(t, ok)
		for _, key := range []string{"max", "open", "in_use", "idle", "waits", "wait_ms"} {
			require.Contains(t, pool, key)
		}
		delete(b, "pool")
		require.Equal(t, map[string]any{"status": "up", "optional": false, "in_doubt": 0.0}, b)
	}

	require.NoError(t, x.Close())
	h = x.Health(t.Context())
	require.Equal(t, "down", h.Status)
	require.Contains(t, h.String(), "default bind is down: echobun: extension is closed")
	status, _ = getHealth(t, x)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// A server that is stopped is named, and another one is still up; where it is
// optional, it only degrades.
func TestHealthOfAStoppedServer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *dbtest.Server{"PostgreSQL": dbtest.StartPostgres, "MariaDB": dbtest.StartMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			hard := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: server.URL()}}})
			soft := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: server.URL(), Optional: true}}})
			require.True(t, hard.Health(t.Context()).Up())
			server.Kill()
			requireDown(t, hard, server.Password)

			h := soft.Health(t.Context())
			require.True(t, h.Up())
			require.Equal(t, "degraded", h.Status)
			require.Equal(t, "down", h.Binds["auth"].Status)
			status, body := getHealth(t, soft)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, body, `"status":"degraded"`)

			server.Start()
			require.Equal(t, "up", hard.Health(t.Context()).Status)
			require.Equal(t, "up", soft.Health(t.Context()).Status)
		})
	}
}

// requireDown requires the report that "auth" alone is down, in time.
func requireDown(t *testing.T, x *echobun.Extension, secret string) {
	t.Helper()
	start := time.Now()
	h := x.Health(t.Context())
	took := time.Since(start)
	status, body := getHealth(t, x)
	require.Less(t, took, 2*time.Second)
	require.False(t, h.Up())
	require.Equal(t, "up", h.Binds[""].Status)
	require.Equal(t, "down", h.Binds["auth"].Status)
	require.NotEmpty(t, h.Binds["auth"].Error)
	require.Contains(t, h.String(), `bind "auth" is down: `)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, body+h.String(), secret)
	t.Logf("named after %s: %s", took.Round(time.Millisecond), h)
}

// A black hole, which takes connections and answers nothing, is named within
// 2 s, on open connections and on new ones, whatever time the request has.
func TestHealthOfABlackHole(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(testing.TB) *dbtest.Server{"PostgreSQL": dbtest.Postgres, "MariaDB": dbtest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := server(t)
			proxy := cutproxy.New(t, server.Addr())
			x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: server.URLVia(proxy.Addr())}}})
			require.True(t, x.Health(t.Context()).Up())
			proxy.ArmN(-1, cutproxy.HangReply, "\x00") // Whatever they say.
			requireDown(t, x, server.Password)

			e := echo.New()
			e.GET("/", x.HealthHandler())
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			rec, start := httptest.NewRecorder(), time.Now()
			e.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			require.Less(t, time.Since(start), 2*time.Second)
			require.Equal(t, http.StatusServiceUnavailable, rec.Code)
			proxy.Disarm()
			proxy.Cut()
		})
	}
}

// A pool that is full is busy as long as its server answers others, and down
// when it does not.
func TestHealthOfAFullPool(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	proxies := map[string]*cutproxy.Proxy{"PostgreSQL": cutproxy.New(t, pg.Addr()), "MariaDB": cutproxy.New(t, my.Addr())}
	for name, dsn := range map[string]string{
		"PostgreSQL": pg.URLVia(proxies["PostgreSQL"].Addr()), "MariaDB": my.URLVia(proxies["MariaDB"].Addr()),
		"SQLite": sqliteURL(t), "memory": "sqlite://",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: dsn, EngineOptions: echobun.EngineOptions{MaxOpenConns: 2, PoolTimeout: time.Minute}})
			free := occupy(t, x.Engine(), 2)
			defer free()
			start := time.Now()
			h := x.Health(t.Context())
			require.Less(t, time.Since(start), 2*time.Second)
			b := h.Binds[""]
			require.Equal(t, []string{"busy", "busy"}, []string{h.Status, b.Status}, h)
			require.True(t, h.Up())
			require.Contains(t, b.Error, "all 2 connections of the pool were in use")
			require.Contains(t, h.String(), "default bind is busy: ")
			require.Equal(t, 2, b.Pool.InUse)
			require.Equal(t, 2, b.Pool.Max)
			status, body := getHealth(t, x)
			require.Equal(t, http.StatusOK, status)
			require.Contains(t, body, `"status":"busy"`)

			if proxy := proxies[name]; proxy != nil {
				proxy.ArmN(-1, cutproxy.HangReply, "\x00")
				require.Equal(t, "down", x.Health(t.Context()).Status, "it does not answer others either")
				proxy.Disarm()
				proxy.Cut()
				return
			}
			free()
			require.Eventually(t, func() bool { return x.Health(t.Context()).Status == "up" }, 5*time.Second, time.Millisecond)
			requireAtRest(t, x)
		})
	}
}

// Many binds are asked some at a time. Those that it was not the turn of in
// time are not down.
func TestHealthOfManyBinds(t *testing.T) {
	t.Parallel()
	const many = 1000
	cfg := echobun.Config{Binds: echobun.Binds{}}
	server := dbtest.Postgres(t)
	for i := range many {
		cfg.Binds[fmt.Sprintf("bind%03d", i)] = echobun.EngineOptions{URL: "sqlite://"}
	}
	x := newExtension(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	h := x.Health(ctx)
	t.Logf("%d binds: %s after %v", many, h.Status, time.Since(start))
	require.Equal(t, "up, 1000 binds", h.String())

	// These hold up all who ask.
	proxy := cutproxy.New(t, server.Addr())
	proxy.ArmN(-1, cutproxy.HangReply, "\x00")
	holes := echobun.Config{Binds: echobun.Binds{}}
	for i := range 200 {
		holes.Binds[fmt.Sprintf("hole%03d", i)] = echobun.EngineOptions{URL: server.URLVia(proxy.Addr())}
	}
	short, cancelShort := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancelShort()
	h = newExtension(t, holes).Health(short)
	proxy.Disarm()
	proxy.Cut()
	counts := map[string]int{}
	for _, b := range h.Binds {
		counts[b.Status]++
	}
	require.Equal(t, "down", h.Status)
	require.Equal(t, map[string]int{"down": 32, "unknown": 168}, counts)
	require.Equal(t, "there was no time to ask it", h.Binds["hole199"].Error)
	require.Contains(t, h.String(), `down: bind "hole000" is down: `)
	require.Contains(t, h.String(), "; and 190 more")
}

// What a transaction has left prepared is counted, and gone after recovery.
func TestHealthInDoubt(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "a") }))
	require.Zero(t, x.Health(ctx).Binds[""].InDoubt)

	prepareByHand(t, x, "echobun/other-app/"+echobun.NewTxID()+"/"+x.LogHome("")+"/~", "other")
	require.Zero(t, x.Health(ctx).Binds[""].InDoubt, "another application's")
	prepareByHand(t, x, "echobun/"+x.AppShortName()+"/"+echobun.NewTxID()+"/"+x.LogHome("")+"/~", "ours")
	h := x.Health(ctx)
	require.Equal(t, 1, h.Binds[""].InDoubt)
	require.Zero(t, h.Binds["auth"].InDoubt)
	require.True(t, h.Up(), "in doubt is not down")
	again := newExtension(t, cfg)
	require.Equal(t, 1, again.Health(ctx).Binds[""].InDoubt, "an earlier process has left it")
	for _, id := range preparedOn(t, x, "") {
		_, err := x.Engine().ExecContext(ctx, "ROLLBACK PREPARED '"+strings.ReplaceAll(id, "'", "''")+"'")
		require.NoError(t, err)
	}
	require.Zero(t, x.Health(ctx).Binds[""].InDoubt)
}

func TestHealthAtOnce(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeSQLite(t))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 20 {
				if h := x.Health(context.Background()); !h.Up() {
					t.Error(h)
				}
			}
		})
	}
	all.Wait()
	for range 4 {
		all.Go(func() { _ = x.Health(context.Background()) })
	}
	require.NoError(t, x.Close())
	all.Wait()
}
