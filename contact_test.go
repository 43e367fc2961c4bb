package echobun_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// Whoever waits for a pool whose connections wait for a lost server is told of
// the server; of one that answers, only of the pool.
func TestPoolTimeoutOfALostServer(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*dbtest.Server{"PostgreSQL": dbtest.Postgres(t), "MariaDB": dbtest.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cutproxy.New(t, server.Addr())
			x := newExtension(t, echobun.Config{
				Binds: echobun.Binds{"auth": {URL: server.URLVia(p.Addr()), MaxOpenConns: 1}},
			})
			appCtx, s := newSession(t, x)
			ask := func(limit time.Duration) error {
				ctx, cancel := context.WithTimeout(appCtx, limit)
				defer cancel()
				return ran(s.Bind("auth").NewRaw("SELECT 1").Exec(ctx))
			}
			begin := func(limit time.Duration) error {
				return s.RunInTx(appCtx, nil, func(ctx context.Context, tx *echobun.Session) error {
					limited, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					return ran(tx.Bind("auth").NewRaw("SELECT 1").Exec(limited))
				})
			}
			require.NoError(t, ask(time.Minute))
			p.ArmN(-1, cutproxy.HangReply, "\x00")
			require.ErrorIs(t, ask(100*time.Millisecond), echobun.ErrUnavailable)

			opened := func(n int) {
				require.Eventually(t, func() bool { return x.Engines()["auth"].Stats().OpenConnections == n }, time.Minute, time.Millisecond)
			}
			opened(0)
			holder := make(chan error, 1)
			go func() { holder <- ask(2 * time.Second) }()
			opened(1)
			for way, err := range map[string]error{"ask": ask(100 * time.Millisecond), "begin": begin(100 * time.Millisecond)} {
				require.ErrorIs(t, err, echobun.ErrPoolTimeout, way)
				require.ErrorIs(t, err, echobun.ErrUnavailable, way)
				require.ErrorContains(t, err, `bind "auth"`)
				require.ErrorContains(t, err, "all 1 connections of the pool were in use; database unavailable when it was last asked: ")
				require.NotContains(t, err.Error(), "raise MaxOpenConns")
			}
			require.ErrorIs(t, <-holder, echobun.ErrUnavailable)

			p.Disarm()
			require.NoError(t, ask(time.Minute))
			conn, err := x.Engines()["auth"].DB.Conn(appCtx)
			require.NoError(t, err)
			for way, err := range map[string]error{"ask": ask(100 * time.Millisecond), "begin": begin(100 * time.Millisecond)} {
				require.ErrorIs(t, err, echobun.ErrPoolTimeout, way)
				require.NotErrorIs(t, err, echobun.ErrUnavailable, way)
			}
			require.NoError(t, conn.Close())
			requireAtRest(t, x)
		})
	}
}

// A database that refuses a statement, since it is full for instance, has answered.
func TestPoolTimeoutOfAFullDatabase(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ dsn, create, fill string }{
		"MariaDB": {
			dbtest.MariaDB(t).URL() + "?max_heap_table_size=16384", "CREATE TABLE t (b char(255)) ENGINE=MEMORY",
			"INSERT INTO t SELECT repeat('x', 255) FROM seq_1_to_100000",
		},
		"SQLite": {sqliteURL(t) + "?_pragma=max_page_count(10)", "CREATE TABLE t (b blob)", "INSERT INTO t VALUES (zeroblob(1000000))"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: tc.dsn, EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}})
			ctx, s := newSession(t, x)
			require.NoError(t, ran(s.NewRaw(tc.create).Exec(ctx)))
			err := s.RunInTx(ctx, nil, func(txCtx context.Context, tx *echobun.Session) error {
				full := ran(tx.NewRaw(tc.fill).Exec(txCtx))
				limited, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				_, other := newSession(t, x)
				err := ran(other.NewRaw("SELECT 1").Exec(limited))
				require.ErrorIs(t, err, echobun.ErrPoolTimeout)
				require.NotErrorIs(t, err, echobun.ErrUnavailable)
				return full
			})
			require.ErrorIs(t, err, echobun.ErrUnavailable)
			requireAtRest(t, x)
		})
	}
}

// OnConnect is part of connecting: if its answer is lost, nothing of the
// application's was sent, and who waits is told that the server is lost.
func TestOnConnectIsLost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server *dbtest.Server
		set    string
	}{
		"PostgreSQL": {dbtest.Postgres(t), "SET statement_timeout = 12345"},
		"MariaDB":    {dbtest.MariaDB(t), "SET max_statement_time = 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cutproxy.New(t, tc.server.Addr())
			x := newExtension(t, echobun.Config{DatabaseURI: tc.server.URLVia(p.Addr()), EngineOptions: echobun.EngineOptions{
				OnConnect: []string{tc.set}, MaxOpenConns: 1,
			}})
			appCtx, s := newSession(t, x)
			insert := func(limit time.Duration) error {
				ctx, cancel := context.WithTimeout(appCtx, limit)
				defer cancel()
				return ran(s.NewRaw("INSERT INTO nowhere VALUES (1)").Exec(ctx))
			}
			for _, m := range []cutproxy.Mode{cutproxy.DropReply, cutproxy.HangReply} {
				p.ArmN(-1, m, "12345")
				err := insert(300 * time.Millisecond)
				require.ErrorIs(t, err, echobun.ErrUnavailable)
				require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
			}
			require.Eventually(t, func() bool { return x.Engine().Stats().OpenConnections == 0 }, time.Minute, time.Millisecond)
			holder := make(chan error, 1)
			go func() { holder <- insert(2 * time.Second) }()
			require.Eventually(t, func() bool { return x.Engine().Stats().OpenConnections == 1 }, time.Minute, time.Millisecond)
			err := insert(100 * time.Millisecond)
			require.ErrorIs(t, err, echobun.ErrPoolTimeout)
			require.ErrorIs(t, err, echobun.ErrUnavailable)
			require.ErrorIs(t, <-holder, echobun.ErrUnavailable)
		})
	}
}

// A login that is refused is of the same kind on every server.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*dbtest.Server{"PostgreSQL": dbtest.Postgres(t), "MariaDB": dbtest.MariaDB(t)} {
		wrongPassword, wrongUser, wrongDatabase := *server, *server, *server
		wrongPassword.Password, wrongUser.User, wrongDatabase.Database = "wrong", "nobody", "nowhere"
		for what, s := range map[string]dbtest.Server{"password": wrongPassword, "user": wrongUser, "database": wrongDatabase} {
			ctx, db := newSession(t, newExtension(t, echobun.Config{DatabaseURI: s.URL()}))
			err := ran(db.NewRaw("SELECT 1").Exec(ctx))
			require.ErrorIs(t, err, echobun.ErrUnavailable, "%s of %s: %v", what, name, err)
			require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
		}
	}
}
