package survive_test

import (
	"context"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// hostsURL is the URL of a database on whichever of the servers takes writes.
func hostsURL(servers ...*dbtest.Server) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(servers[0].User, servers[0].Password), Path: "/" + servers[0].Database}
	q := url.Values{"target_session_attrs": {"read-write"}}
	for _, s := range servers {
		q.Add("host", s.Addr())
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// TestFailover kills a server under load and promotes its standby.
func TestFailover(t *testing.T) { //nolint:paralleltest // It measures times.
	noLeaks(t)
	primary := dbtest.StartPostgres(t)
	x := openExtension(t, echobun.Config{DatabaseURI: primary.URL()})
	ctx, end := x.AppContext(t.Context())
	require.NoError(t, x.CreateAll(ctx))
	end()
	standby := primary.Standby()
	// From here on, what is acknowledged is on both.
	for _, q := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		_, err := x.Engine().ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		var n int
		return x.Engine().NewRaw("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(t.Context(), &n) == nil && n == 1
	}, 20*time.Second, 10*time.Millisecond)

	both := openExtension(t, echobun.Config{DatabaseURI: hostsURL(primary, standby)})
	e := newWriter(both)
	l := startLoad(t, loadClients, time.Millisecond, func(ctx context.Context, client, n int) *call {
		return write(ctx, e, client, n)
	})
	time.Sleep(pick(time.Second, 3*time.Second)) // The load.
	primary.Kill()
	died := time.Now()
	time.Sleep(500 * time.Millisecond) // What it takes to be noticed.
	standby.Promote()
	back := time.Now()
	time.Sleep(3*time.Second + calm) // It has to have recovered by then.
	calls := l.end()

	require.NotEmpty(t, failures(calls), "the outage was not felt")
	requireRecovered(t, calls, back, 3*time.Second)
	unknown := requireLedger(t, calls, ids(t, both, ""))
	t.Logf("%d calls, %d failed (%s), promoted after %v; last error %v after it; %d unknown",
		len(calls), len(failures(calls)), kindsOf(failures(calls)), back.Sub(died).Round(time.Millisecond),
		lastFailure(calls).Sub(back).Round(time.Millisecond), unknown)
}

// A demotion makes the server that an application is connected to read-only,
// while another takes its place behind the same URL.
type demotion struct {
	name string
	// prepare returns the application's URL, and what makes the server read-only.
	prepare func(t *testing.T) (url string, demote func())
}

// demotions are without a cut of the connections: what is in the pool goes on,
// and would be refused every write.
var demotions = []demotion{
	{"PostgreSQL by its hosts", func(t *testing.T) (string, func()) {
		t.Helper()
		old := dbtest.StartPostgres(t)
		admin := newExtension(t, echobun.Config{DatabaseURI: old.URL()})
		standby := old.Standby()
		return hostsURL(old, standby), func() {
			standby.Promote()
			demotePostgres(t, admin)
		}
	}},
	{"PostgreSQL by its address", func(t *testing.T) (string, func()) {
		t.Helper()
		old := dbtest.StartPostgres(t)
		admin := newExtension(t, echobun.Config{DatabaseURI: old.URL()})
		standby := old.Standby()
		address := newRelay(t, old.Addr())
		return old.URLVia(address.addr()), func() {
			standby.Promote()
			address.moveTo(standby.Addr())
			demotePostgres(t, admin)
		}
	}},
	{"MariaDB by its address", func(t *testing.T) (string, func()) {
		t.Helper()
		old, other := dbtest.StartMariaDB(t), dbtest.StartMariaDB(t)
		var admin *echobun.Extension
		for _, s := range []*dbtest.Server{other, old} {
			db := *s
			db.Database = "survive"
			admin = openExtension(t, echobun.Config{DatabaseURI: s.URL()})
			// Its own user may write to a server that is read-only.
			for _, q := range []string{
				"CREATE DATABASE survive", "CREATE USER app@'%' IDENTIFIED BY '" + old.Password + "'",
				"GRANT ALL ON survive.* TO app@'%'",
			} {
				_, err := admin.Engine().ExecContext(t.Context(), q)
				require.NoError(t, err)
			}
			newExtension(t, echobun.Config{DatabaseURI: db.URL()})
		}
		address := newRelay(t, old.Addr())
		app := *old
		app.User, app.Database = "app", "survive"
		return app.URLVia(address.addr()), func() {
			address.moveTo(other.Addr())
			_, err := admin.Engine().ExecContext(t.Context(), "SET GLOBAL read_only = 1")
			require.NoError(t, err)
		}
	}},
}

func demotePostgres(t *testing.T, admin *echobun.Extension) {
	t.Helper()
	for _, q := range []string{"ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"} {
		_, err := admin.Engine().ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		var is string
		return admin.Engine().NewRaw("SHOW transaction_read_only").Scan(t.Context(), &is) == nil && is == "on"
	}, 10*time.Second, time.Millisecond)
}

// TestReadOnlyNode demotes the server that all connections of the pool lead
// to. One request learns of it, and those after it go to the other server.
func TestReadOnlyNode(t *testing.T) {
	t.Parallel()
	for _, d := range demotions {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			u, demote := d.prepare(t)
			x := openExtension(t, echobun.Config{DatabaseURI: u, EngineOptions: echobun.EngineOptions{MaxOpenConns: 8}})
			e := newWriter(x)
			fill(t, x, 8)
			demote()

			refused := 0
			for n := range 30 {
				c := write(t.Context(), e, 0, n)
				if c.err == nil {
					continue
				}
				require.ErrorIs(t, c.err, echobun.ErrReadOnly, "request %d", n)
				requireNamed(t, c.err, "")
				refused++
			}
			require.Equal(t, 1, refused, "the error reached another request")
		})
	}
}

// TestReadOnlyNodeUnderLoad has no request that begins after the first refusal
// see one.
func TestReadOnlyNodeUnderLoad(t *testing.T) {
	t.Parallel()
	u, demote := demotions[0].prepare(t)
	x := openExtension(t, echobun.Config{DatabaseURI: u, EngineOptions: echobun.EngineOptions{MaxOpenConns: 8}})
	e := newWriter(x)
	fill(t, x, 8)
	var failed atomic.Int64
	l := startLoad(t, 16, time.Millisecond, func(ctx context.Context, client, n int) *call {
		c := write(ctx, e, client, n)
		if c.err != nil {
			failed.Add(1)
		}
		return c
	})
	time.Sleep(300 * time.Millisecond) // The load.
	demote()
	require.Eventually(t, func() bool { return failed.Load() > 0 }, 30*time.Second, 10*time.Millisecond)
	time.Sleep(time.Second) // What follows.
	calls := l.end()

	refused := failures(calls)
	require.NotEmpty(t, refused)
	first := refused[0].end
	for _, c := range refused {
		require.ErrorIs(t, c.err, echobun.ErrReadOnly)
		if c.end.Before(first) {
			first = c.end
		}
	}
	for _, c := range refused {
		require.True(t, c.start.Before(first), "%s began %v after the first refusal", c.id, c.start.Sub(first))
	}
	t.Logf("%d calls, %d were refused", len(calls), len(refused))
}

// fill opens all connections of a pool.
func fill(t *testing.T, x *echobun.Extension, n int) {
	t.Helper()
	conns := make([]interface{ Close() error }, n)
	for i := range conns {
		conn, err := x.Engine().Conn(t.Context())
		require.NoError(t, err)
		conns[i] = conn
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	require.Equal(t, n, x.Engine().Stats().Idle)
}

// TestKilledIdle kills all connections of a pool while they are idle.
func TestKilledIdle(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			server := k.fresh(t)
			x := newExtension(t, echobun.Config{DatabaseURI: server.URL(), EngineOptions: echobun.EngineOptions{MaxOpenConns: 10}})
			admin := openExtension(t, echobun.Config{DatabaseURI: server.URL(), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}})
			e := newWriter(x)
			for round := range pick(5, 50) {
				fill(t, x, 10)
				require.Equal(t, 10, k.killAll(t, admin))
				if round%2 == 0 {
					for n := range 30 {
						require.NoError(t, write(t.Context(), e, round, n).err, "round %d, request %d", round, n)
					}
					continue
				}
				errs := make(chan error, 30)
				for client := range 30 {
					go func() { errs <- write(t.Context(), e, 1000*round+client, client).err }()
				}
				for range 30 {
					require.NoError(t, <-errs, "round %d", round)
				}
			}
		})
	}
}
