package survive_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// windowsOf is how many windows a comparison of times is the median of.
const windowsOf = 5

// A gauge measures how long a request takes, window by window, while a few
// clients send it at a steady pace.
type gauge struct {
	e    http.Handler
	path string
}

// measure returns the median over windows of a quantile of the times, and
// requires that no request fails.
func (g gauge) measure(t *testing.T, window time.Duration, quantile float64) time.Duration {
	t.Helper()
	var medians []time.Duration
	for range windowsOf {
		l := startLoad(t, 2, 5*time.Millisecond, func(ctx context.Context, _, _ int) *call {
			return send(ctx, g.e, http.MethodGet, g.path, 10*time.Second)
		})
		time.Sleep(window)
		calls := l.end()
		took := make([]time.Duration, len(calls))
		for i, c := range calls {
			require.NoError(t, c.err, "a bind that is well")
			took[i] = c.took()
		}
		slices.Sort(took)
		medians = append(medians, took[int(float64(len(took)-1)*quantile)])
	}
	slices.Sort(medians)
	return medians[windowsOf/2]
}

// newReader returns an application that reads from either bind.
func newReader(x *echobun.Extension) *echo.Echo {
	e := newServer(x)
	for path, bind := range map[string]string{"/default": "", "/auth": "auth"} {
		e.GET(path, func(c echo.Context) error {
			var n int
			if err := dbOf(c).Bind(bind).NewRaw("SELECT count(*) FROM items").Scan(c.Request().Context(), &n); err != nil {
				return err
			}
			return c.NoContent(http.StatusOK)
		})
	}
	e.POST("/auth/:id", func(c echo.Context) error {
		_, err := dbOf(c).NewInsert().Model(&AuthItem{ID: c.Param("id")}).Exec(c.Request().Context())
		return err
	})
	e.POST("/auth-tx/:id", func(c echo.Context) error {
		return dbOf(c).RunInTx(c.Request().Context(), nil, func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewInsert().Model(&AuthItem{ID: c.Param("id")}).Exec(ctx)
			return err
		})
	})
	return e
}

// TestCrowdedPool has 64 clients with little time ask a pool of 4 that is in
// use. They are refused in time, and the other bind does not feel it.
func TestCrowdedPool(t *testing.T) { //nolint:paralleltest // It measures times.
	for _, k := range kinds { //nolint:paralleltest // As above.
		t.Run(k.name, func(t *testing.T) {
			noLeaks(t)
			other := kinds[0]
			if k.name == other.name {
				other = kinds[1]
			}
			x := newExtension(t, echobun.Config{
				DatabaseURI: other.fresh(t).URL(),
				Binds:       echobun.Binds{"auth": {URL: k.fresh(t).URL(), MaxOpenConns: 4}},
			})
			e := newReader(x)
			g, window := gauge{e, "/default"}, pick(200*time.Millisecond, 2*time.Second)
			g.measure(t, window, 0.5) // Warm.
			before := g.measure(t, window, 0.5)

			var held []bun.Conn
			for range 4 {
				conn, err := x.Engines()["auth"].Conn(t.Context())
				require.NoError(t, err)
				held = append(held, conn)
			}
			const limit = 200 * time.Millisecond
			l := startLoad(t, loadClients, time.Millisecond, func(ctx context.Context, _, n int) *call {
				if n%2 == 0 {
					return send(ctx, e, http.MethodGet, "/auth", limit)
				}
				return send(ctx, e, http.MethodPost, "/auth-tx/x", limit)
			})
			during := g.measure(t, window, 0.5)
			calls := l.end()
			for _, conn := range held {
				require.NoError(t, conn.Close())
			}

			var late []time.Duration
			for _, c := range calls {
				require.ErrorIs(t, c.err, echobun.ErrPoolTimeout)
				require.ErrorIs(t, c.err, context.DeadlineExceeded)
				require.ErrorContains(t, c.err, "all 4 connections of the pool were in use")
				requireNamed(t, c.err, "auth")
				require.GreaterOrEqual(t, c.took(), limit)
				late = append(late, c.took()-limit)
			}
			slices.Sort(late)
			longest := late[len(late)-1]
			t.Logf("%d refusals, %v late in the median, %v at most; the other bind took %v before, %v meanwhile",
				len(calls), late[len(late)/2], longest, before, during)
			require.Less(t, late[len(late)/2], 60*time.Millisecond)
			require.Less(t, longest, pick(2*time.Second, 60*time.Millisecond))
			require.Less(t, during, pick(3*before+20*time.Millisecond, before*11/10))
			require.NoError(t, send(t.Context(), e, http.MethodGet, "/auth", loadLimit).err)
		})
	}
}

// TestQueryInsideTransaction asks a pool of 1 while a transaction has its
// connection: it ends with a hint in every way that a session has.
func TestQueryInsideTransaction(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func() string{
		"PostgreSQL": func() string { return dbtest.Postgres(t).URL() },
		"MariaDB":    func() string { return dbtest.MariaDB(t).URL() },
		"SQLite":     func() string { return sqliteURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{
				DatabaseURI:   url(),
				EngineOptions: echobun.EngineOptions{MaxOpenConns: 1, PoolTimeout: 200 * time.Millisecond},
			})
			outer, end := x.AppContext(t.Context())
			defer end()
			s, err := x.Session(outer)
			require.NoError(t, err)
			ask := func(ctx context.Context) error {
				var n int
				return s.NewSelect().Model((*Item)(nil)).ColumnExpr("count(*)").Scan(ctx, &n)
			}
			hinted := func(err error) {
				requireNamed(t, err, "")
				require.ErrorIs(t, err, echobun.ErrPoolTimeout)
				require.ErrorContains(t, err, "close rows and transactions sooner")
			}
			err = s.RunInTx(outer, nil, func(ctx context.Context, tx *echobun.Session) error {
				_, err := tx.NewInsert().Model(&Item{ID: "a"}).Exec(ctx)
				require.NoError(t, err)
				err = ask(ctx)
				require.ErrorIs(t, err, echobun.ErrOutsideTx)
				require.ErrorContains(t, err, "use the session that the transaction's function was given")
				hinted(ask(outer))
				return nil
			})
			require.NoError(t, err)
			err = s.Bind("").RunInTx(outer, nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewInsert().Model(&Item{ID: "b"}).Exec(ctx)
				require.NoError(t, err)
				hinted(ask(ctx))
				return nil
			})
			require.NoError(t, err)
			rows, err := s.Bind("").QueryContext(outer, "SELECT id FROM items")
			require.NoError(t, err)
			hinted(ask(outer))
			require.NoError(t, rows.Close())
			require.NoError(t, rows.Err())
			require.NoError(t, ask(outer))
		})
	}
}

// A burst is many clients that ask a bind which cannot answer, each with a
// time limit.
type burst struct {
	e     http.Handler
	limit time.Duration
	size  int
}

// during has the clients ask for as long as do takes, and returns the calls.
func (b burst) during(t *testing.T, do func()) []*call {
	t.Helper()
	l := startLoad(t, b.size, 10*time.Millisecond, func(ctx context.Context, client, n int) *call {
		switch n % 3 {
		case 0:
			return send(ctx, b.e, http.MethodGet, "/auth", b.limit)
		case 1:
			return send(ctx, b.e, http.MethodPost, "/auth/"+name(client, n), b.limit)
		}
		return send(ctx, b.e, http.MethodPost, "/auth-tx/"+name(client, n), b.limit)
	})
	do()
	return l.end()
}
