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
