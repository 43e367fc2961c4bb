package echobun_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// soon is a deadline that a shutdown is to miss.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// later returns the result of f, once there is one.
func later(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// requireRefuses waits until there are no new app contexts, also not inside
// others, and no sessions for new requests.
func requireRefuses(t *testing.T, x *echobun.Extension, parents ...context.Context) {
	t.Helper()
	for _, parent := range append(parents, context.Background()) {
		require.Eventually(t, func() bool {
			ctx, end := x.AppContext(parent)
			defer end()
			_, err := x.Session(ctx)
			return errors.Is(err, echobun.ErrClosed)
		}, 10*time.Second, time.Millisecond)
	}
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/", func(c echo.Context) error {
		err := ran(c.Get("db").(*echobun.Session).Bind("auth").ExecContext(c.Request().Context(), "SELECT 1")) //nolint:errcheck // A test.
		require.ErrorIs(t, err, echobun.ErrClosed)
		return c.NoContent(http.StatusServiceUnavailable)
	})
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
}

func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeSQLite(t), txModels()...)
	ctx, end := x.AppContext(context.Background())
	s, err := x.Session(ctx)
	require.NoError(t, err)
	require.NoError(t, x.CreateAll(ctx))
	other, endOther := x.AppContext(ctx)
	shut := later(func() error { return x.Shutdown(context.Background()) })
	again := later(func() error { return x.Shutdown(context.Background()) })

	requireRefuses(t, x, ctx)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "a") }))
	require.NoError(t, x.CreateAll(other), "who is there may finish")
	end()
	end()
	select {
	case err := <-shut:
		require.FailNow(t, "has not waited for the second one", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	endOther()
	require.NoError(t, <-shut)
	require.NoError(t, <-again)
	require.NoError(t, x.Shutdown(context.Background()))
	require.NoError(t, x.Close())
	for _, db := range x.Engines() {
		require.Zero(t, db.Stats().OpenConnections)
		require.Error(t, db.PingContext(context.Background()))
	}
}

// What runs on at the deadline is rolled back on real servers.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, other := newSession(t, x)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "a"))
	bunTx, err := other.Bind("auth").BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, ran(bunTx.NewInsert().Model(&Credit{Name: "b"}).Exec(ctx)))

	err = x.Shutdown(soon(t))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "2 app contexts")
	requireClosed(t, x)
	require.ErrorIs(t, tx.Commit(ctx), echobun.ErrClosed)
	require.Error(t, bunTx.Commit())
	require.NoError(t, tx.Rollback(ctx))
	requireNamed(t, newExtension(t, cfg, txModels()...), "a", 0, 0, 0)
	requireNamed(t, newExtension(t, cfg, txModels()...), "b", 0, 0, 0)
}

// Whoever says why time is up is heard, and the deadline can be told still.
func TestShutdownCause(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeSQLite(t))
	newSession(t, x)
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Millisecond, errPlanned)
	defer cancel()
	err := x.Shutdown(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, errPlanned)
}

// Close waits for nobody, and ends the wait of a shutdown.
func TestCloseRollsBack(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "a"))
	bunTx, err := s.Bind("auth").BeginTx(ctx, nil)
	require.NoError(t, err)
	shut := later(func() error { return x.Shutdown(context.Background()) })
	requireRefuses(t, x)

	require.NoError(t, x.Close())
	require.NoError(t, <-shut)
	requireClosed(t, x)
	require.ErrorIs(t, insertAll(ctx, tx, "b"), echobun.ErrClosed)
	require.ErrorIs(t, insertAll(ctx, s, "b"), echobun.ErrClosed)
	require.Error(t, ran(bunTx.NewInsert().Model(&Credit{Name: "b"}).Exec(ctx)))
	_, err = s.Begin(ctx, nil)
	require.ErrorIs(t, err, echobun.ErrClosed)
	start := time.Now()
	require.NoError(t, x.Shutdown(context.Background()), "though app contexts have not ended")
	require.Less(t, time.Since(start), 5*time.Second)
	requireNamed(t, newExtension(t, cfg, txModels()...), "a", 0, 0, 0)
}

// A transaction of Bun's is rolled back by database/sql, on a goroutine of its
// own, and Close is not done before that.
func TestCloseRollsBackBuns(t *testing.T) {
	t.Parallel()
	x, calls := fakeExtension(t, "slow-rollback", echobun.EngineOptions{})
	ctx, s := newSession(t, x)
	_, err := s.Bind("").BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, x.Close())
	require.Contains(t, calls(), "rollback ")

	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		ctx, s := newSession(t, x)
		tx, err := s.Bind("").BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, ran(tx.ExecContext(ctx, "SELECT 1")))
		require.NoError(t, x.Close())
		requireClosed(t, x)
	})
}

// requireClosed requires that no connection is left. One of Bun's transactions
// is counted until a moment after its rollback.
func requireClosed(t *testing.T, x *echobun.Extension) {
	t.Helper()
	for key, db := range x.Engines() {
		require.Eventually(t, func() bool { return db.Stats().OpenConnections == 0 }, 5*time.Second, time.Millisecond, "bind %q", key)
	}
}

// Engines of the application's own stay open, and what sessions have open on
// them is rolled back.
func TestCloseLeavesOwnEngines(t *testing.T) {
	t.Parallel()
	cfg := ownEngine(t)
	var own *bun.DB
	for _, o := range cfg.Binds {
		if o.DB != nil {
			own = o.DB
		}
	}
	if own == nil {
		own = cfg.EngineOptions.DB
	}
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "a"))
	require.NoError(t, x.Close())
	require.NoError(t, own.PingContext(context.Background()))
	require.Eventually(t, func() bool { return own.Stats().InUse == 0 }, 5*time.Second, time.Millisecond)
}

// Everything at once, for the race detector: whoever gets an answer gets a
// right one, and in the end nothing is open.
func TestShutdownStorm(t *testing.T) {
	t.Parallel()
	for round := range 6 {
		x := newExtension(t, threeSQLite(t), txModels()...)
		ctx, end := x.AppContext(context.Background())
		require.NoError(t, x.CreateAll(ctx))
		end()
		var all sync.WaitGroup
		var done atomic.Int64
		work := []func(ctx context.Context, s *echobun.Session) error{
			func(ctx context.Context, s *echobun.Session) error {
				return ran(s.Bind("auth").ExecContext(ctx, "SELECT 1"))
			},
			func(ctx context.Context, s *echobun.Session) error {
				return s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					return tx.NewSelect().Model(new([]Credit)).Scan(ctx)
				})
			},
			func(ctx context.Context, s *echobun.Session) error {
				return s.Bind("meta").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					return tx.NewSelect().Model(new([]Note)).Scan(ctx)
				})
			},
			func(ctx context.Context, s *echobun.Session) error {
				_, err := s.Bind("auth").BeginTx(ctx, nil) // Left open: the end rolls it back.
				return err
			},
		}
		for i := range 12 {
			all.Go(func() {
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
					ctx, end := x.AppContext(context.Background())
					s, err := x.Session(ctx)
					if err == nil {
						err = work[i%len(work)](ctx, s)
					}
					end()
					if errors.Is(err, echobun.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					done.Add(1)
				}
				t.Error("never refused")
			})
		}
		require.Eventually(t, func() bool { return done.Load() > 20 }, 10*time.Second, time.Millisecond)
		if round%2 == 0 {
			all.Go(func() { _ = x.Close() })
		}
		for range 3 {
			all.Go(func() { _ = x.Shutdown(context.Background()) })
		}
		all.Wait()
		require.NoError(t, x.Close())
		requireClosed(t, x)
	}
}
