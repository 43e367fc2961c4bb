package echobun_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

const leakThreshold = 150 * time.Millisecond

// leaky returns an extension that looks for leaks, and its log.
func leaky(t *testing.T) (*echobun.Extension, context.Context, *echobun.Session, *logBook) {
	t.Helper()
	cfg, log := threeSQLite(t), new(logBook)
	cfg.LeakThreshold, cfg.Logger = leakThreshold, log.logger()
	x, ctx, s := recording(t, cfg)
	log.take(t) // Making the tables may have taken its time.
	return x, ctx, s, log
}

// requireLeaks waits until there are as many warnings, and a while longer, and
// asserts what they say: the message, and the line that has opened it.
func requireLeaks(t *testing.T, log *logBook, want ...[2]string) {
	t.Helper()
	var found [][2]string
	for end := time.Now().Add(10 * time.Second); len(found) < len(want) && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found = append(found, leaks(t, log)...)
	}
	time.Sleep(2 * leakThreshold)
	require.ElementsMatch(t, want, append(found, leaks(t, log)...))
}

func leaks(t *testing.T, log *logBook) (found [][2]string) {
	t.Helper()
	records, _ := log.take(t)
	for _, r := range records {
		require.Equal(t, "WARN", r["level"])
		found = append(found, [2]string{fmt.Sprint(r["msg"]) + fmt.Sprint(r["binds"]), fmt.Sprint(r["opened"])})
	}
	return found
}

func TestLeaks(t *testing.T) {
	t.Parallel()
	x, ctx, s, log := leaky(t)
	line := here(1)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	time.Sleep(leakThreshold + 50*time.Millisecond) // It holds nothing yet.
	require.NoError(t, insertAll(ctx, tx, "a"))
	const open = "echobun: transaction is still open"
	requireLeaks(t, log, [2]string{open + "[ auth meta]", line})
	require.NoError(t, tx.Rollback(ctx))

	line = here(1)
	bunTx, err := s.Bind("auth").BeginTx(ctx, nil)
	require.NoError(t, err)
	requireLeaks(t, log, [2]string{open + "[auth]", line})
	require.NoError(t, bunTx.Commit())

	line = here(1)
	engineTx, err := x.Engines()["meta"].BeginTx(context.Background(), nil)
	require.NoError(t, err)
	requireLeaks(t, log, [2]string{open + "[meta]", line})
	require.NoError(t, engineTx.Rollback())

	line = here(1)
	rows, err := s.Bind("auth").QueryContext(ctx, "SELECT 1")
	require.NoError(t, err)
	requireLeaks(t, log, [2]string{"echobun: result set is still open[auth]", line})
	require.NoError(t, closeRows(rows, nil))
	requireAtRest(t, x)
}

// What is closed in time is no leak, however it is closed, and its timers are
// gone: the goroutines of this test's package are counted at its end.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	x, ctx, s, log := leaky(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "a"))
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "b") })
	}))
	require.Error(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "a") }))
	require.NoError(t, s.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewSelect().Model(new([]Credit)).Scan(ctx)
	}))
	require.NoError(t, closeRows(s.Bind("auth").QueryContext(ctx, "SELECT 1")))
	require.NoError(t, s.Bind("meta").QueryRowContext(ctx, "SELECT 1").Scan(new(int)))
	canceled, cancel := context.WithCancel(ctx)
	tx, err := s.Begin(canceled, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "c"))
	cancel()
	own, end := x.AppContext(context.Background())
	ended, err := x.Session(own)
	require.NoError(t, err)
	_, err = ended.Begin(own, nil)
	require.NoError(t, err)
	end()
	requireAtRest(t, x)
	requireLeaks(t, log)
}

// Without a threshold, nothing is looked for.
func TestLeaksAreOff(t *testing.T) {
	t.Parallel()
	cfg, log := threeSQLite(t), new(logBook)
	cfg.Logger = log.logger()
	_, ctx, s := recording(t, cfg)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "a"))
	requireLeaks(t, log)
}

// No line of the application begins the transaction of an atomic request, so
// its first statement is the one; of its second transaction, too.
func TestLeakOfAnAtomicRequest(t *testing.T) {
	t.Parallel()
	x, _, _, log := leaky(t)
	e := echo.New()
	e.Use(x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	var first, second string
	e.GET("/", func(c echo.Context) error {
		ctx, db := c.Request().Context(), c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		time.Sleep(leakThreshold + 50*time.Millisecond)
		first = here(1)
		require.NoError(t, ran(db.NewInsert().Model(&Credit{Name: "a"}).Exec(ctx)))
		requireLeaks(t, log, [2]string{"echobun: transaction is still open[auth]", first})
		require.NoError(t, c.NoContent(http.StatusNoContent))
		second = here(1)
		require.NoError(t, ran(db.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx)))
		requireLeaks(t, log, [2]string{"echobun: transaction is still open[]", second})
		return nil
	})
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusNoContent, rec.Code)
	requireLeaks(t, log)
}
