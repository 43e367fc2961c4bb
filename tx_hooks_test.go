package echobun_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/echobun/echobun"
)

// A leavingHook leaves by leave, once, when a statement with the prefix comes:
// before it, or after it.
type leavingHook struct {
	prefix string
	after  bool
	leave  func()
	armed  atomic.Bool
}

func (h *leavingHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	h.hit(false, event)
	return ctx
}

func (h *leavingHook) AfterQuery(_ context.Context, event *bun.QueryEvent) { h.hit(true, event) }

func (h *leavingHook) hit(after bool, event *bun.QueryEvent) {
	if after == h.after && strings.HasPrefix(event.Query, h.prefix) && h.armed.CompareAndSwap(true, false) {
		h.leave()
	}
}

func leavings() map[string]func() {
	return map[string]func(){"panic": func() { panic("hook") }, "Goexit": runtime.Goexit}
}

// apart runs f on a goroutine of its own, which a panic or a Goexit in it ends.
func apart(f func()) (returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
		returned = true
	}()
	<-done
	return returned
}

// hookedBinds has a leavingHook on the bind in the middle.
func hookedBinds(t *testing.T, cfg echobun.Config, h *leavingHook) *echobun.Extension {
	t.Helper()
	auth := cfg.Binds["auth"]
	auth.Hooks = []bun.QueryHook{h}
	cfg.Binds["auth"] = auth
	return newExtension(t, cfg, txModels()...)
}

func threeSQLite(tb testing.TB) echobun.Config {
	tb.Helper()
	return echobun.Config{DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}, "meta": {URL: sqliteURL(tb)}}}
}

// ownEngine makes the bind in the middle an engine of the application's own.
func ownEngine(t *testing.T) echobun.Config {
	t.Helper()
	cfg := threeSQLite(t)
	inner := newExtension(t, echobun.Config{DatabaseURI: cfg.Binds["auth"].URL})
	cfg.Binds["auth"] = echobun.EngineOptions{DB: inner.Engine()}
	return cfg
}

// However a query hook leaves at one of the transaction's own statements,
// nothing stays open on any bind, and the next transaction is right.
func TestTxHooksThatLeave(t *testing.T) {
	t.Parallel()
	two := &echobun.TxOptions{TwoPhase: true}
	for name, c := range map[string]struct {
		config func(*testing.T) echobun.Config
		opts   *echobun.TxOptions
	}{
		"SQLite":          {config: func(t *testing.T) echobun.Config { return threeSQLite(t) }},
		"an engine":       {config: ownEngine},
		"three databases": {config: func(t *testing.T) echobun.Config { return threeDatabases(t) }},
		"two phases":      {config: func(t *testing.T) echobun.Config { return threeDatabases(t) }, opts: two},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := new(leavingHook)
			x := hookedBinds(t, c.config(t), h)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			run := func(name string, fails bool) error {
				return s.RunInTx(ctx, c.opts, func(ctx context.Context, tx *echobun.Session) error {
					err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
						return insertAll(ctx, tx, name)
					})
					if fails {
						return errOfFn
					}
					return err
				})
			}
			require.NoError(t, run("first", false))
			for how, leave := range leavings() {
				for _, prefix := range []string{"BEGIN", "SAVEPOINT", "INSERT", "RELEASE", "COMMIT", "ROLLBACK", "XA"} {
					for _, after := range []bool{false, true} {
						h.prefix, h.after, h.leave = prefix, after, leave
						h.armed.Store(true)
						at := strings.Join([]string{how, prefix, map[bool]string{true: "after", false: "before"}[after]}, " ")
						returned := apart(func() { _ = run(at, prefix == "ROLLBACK") })
						require.Equal(t, h.armed.Swap(false), returned, at)
						requireSettled(t, x, c.opts)
						require.NoError(t, run(at+" next", false), at)
						requireNamed(t, x, at+" next", 1, 1, 1)
						if c.opts != nil {
							requireAllOrNone(t, x, at)
						}
					}
				}
			}
		})
	}
}

// requireSettled asserts that nothing is open any more, after recovery where
// transactions are prepared.
func requireSettled(t *testing.T, x *echobun.Extension, opts *echobun.TxOptions) {
	t.Helper()
	if opts != nil {
		require.Eventually(t, func() bool { // MySQL takes a moment to notice that a connection is closed.
			report, err := x.RecoverPrepared(t.Context())
			require.NoError(t, err)
			return len(report.InDoubt) == 0
		}, 5*time.Second, 10*time.Millisecond)
	}
	requireAtRest(t, x)
}

func requireAllOrNone(t *testing.T, x *echobun.Extension, name string) {
	t.Helper()
	ctx, s := newSession(t, x)
	n, err := s.NewSelect().Model((*Debit)(nil)).Where("name = ?", name).Count(ctx)
	require.NoError(t, err)
	requireNamed(t, x, name, int(n), int(n), int(n))
}

// A hook that panics while an atomic request commits is a panic of the
// request: nothing of its answer leaves.
func TestAtomicHooksThatPanic(t *testing.T) {
	t.Parallel()
	h := new(leavingHook)
	x := hookedBinds(t, threeSQLite(t), h)
	ctx, _ := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	e := echo.New()
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }}))
	e.Use(x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	e.POST("/:name", func(c echo.Context) error {
		s := c.Get("db").(*echobun.Session) //nolint:errcheck // The middleware put it there.
		if err := insertAll(c.Request().Context(), s, c.Param("name")); err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderLocation, "/made")
		return c.String(http.StatusCreated, "made")
	})
	for name, after := range map[string]bool{"before": false, "after": true} {
		for _, prefix := range []string{"BEGIN", "COMMIT"} {
			h.prefix, h.after, h.leave = prefix, after, func() { panic("hook") }
			h.armed.Store(true)
			rec := httptest.NewRecorder()
			e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/"+prefix+name, nil))
			require.False(t, h.armed.Load())
			require.Equal(t, http.StatusInternalServerError, rec.Code)
			require.NotContains(t, rec.Body.String(), "made")
			require.Empty(t, rec.Header().Get(echo.HeaderLocation))
			requireAtRest(t, x)
		}
	}
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/next", nil))
	require.Equal(t, http.StatusCreated, rec.Code)
	requireNamed(t, x, "next", 1, 1, 1)
}

// A COMMIT or ROLLBACK that hangs on an engine of the application's own is
// given up when its time is over, with its connection.
func TestTxHangsOnAnEngineOfOnesOwn(t *testing.T) {
	t.Parallel()
	const limit = 200 * time.Millisecond
	for name, rollsBack := range map[string]bool{"COMMIT": false, "ROLLBACK": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hang := make(chan struct{})
			var closed atomic.Int32
			own := bun.NewDB(sql.OpenDB(&hangingConnector{hang: hang, closed: &closed}), sqlitedialect.New())
			t.Cleanup(func() { require.NoError(t, own.Close()) })
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {DB: own}}})
			ctx, s := newSession(t, x)
			start := time.Now()
			err := s.RunInTx(ctx, &echobun.TxOptions{CommitTimeout: limit}, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.Bind("auth").NewRaw("INSERT").Exec(ctx); err != nil {
					return err
				}
				if rollsBack {
					return errOfFn
				}
				return nil
			})
			require.Less(t, time.Since(start), limit+2*time.Second)
			require.ErrorContains(t, err, `bind "auth"`)
			if rollsBack {
				require.ErrorIs(t, err, errOfFn)
			} else {
				require.ErrorIs(t, err, echobun.ErrOutcomeUnknown)
			}
			require.Zero(t, closed.Load(), "it is still at work")
			close(hang)
			require.Eventually(t, func() bool { return closed.Load() == 1 }, 5*time.Second, time.Millisecond)
			requireAtRest(t, x)
		})
	}
}

// hangingConnector opens connections whose transactions end when hang is closed.
type hangingConnector struct {
	hang   chan struct{}
	closed *atomic.Int32
}

func (c *hangingConnector) Connect(context.Context) (sqldriver.Conn, error) {
	return &hangingConn{c}, nil
}
func (*hangingConnector) Driver() sqldriver.Driver { return nil }

type hangingConn struct{ c *hangingConnector }

func (*hangingConn) Prepare(string) (sqldriver.Stmt, error) { return nil, sqldriver.ErrSkip }
func (c *hangingConn) Begin() (sqldriver.Tx, error)         { return c, nil }
func (c *hangingConn) Close() error                         { c.c.closed.Add(1); return nil }
func (c *hangingConn) Commit() error                        { <-c.c.hang; return nil }
func (c *hangingConn) Rollback() error                      { <-c.c.hang; return nil }

func (*hangingConn) ExecContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Result, error) {
	return sqldriver.RowsAffected(1), nil
}
