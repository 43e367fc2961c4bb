package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestRandomDeadlines sends requests with a random deadline inside their
// transaction, or whose client goes away, panics, or leaves by Goexit's way.
func TestRandomDeadlines(t *testing.T) {
	t.Parallel()
	for name, bank := range map[string]struct {
		config  func(testing.TB) echobun.Config
		longest time.Duration
		n       int
	}{
		"three databases": {threeDatabases, 20 * time.Millisecond, times(1000, 10_000)},
		"SQLite": {func(tb testing.TB) echobun.Config {
			tb.Helper()
			return echobun.Config{DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}, "meta": {URL: sqliteURL(tb)}}}
		}, 5 * time.Millisecond, times(2000, 10_000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := bank.config(t)
			cfg.Defaults.MaxOpenConns = 10
			x := newExtension(t, cfg, txModels()...)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			e := echo.New()
			e.HTTPErrorHandler = func(err error, c echo.Context) {
				if errors.Is(err, echobun.ErrOutcomeUnknown) {
					err = echo.NewHTTPError(http.StatusAccepted) // Nobody knows.
				}
				e.DefaultHTTPErrorHandler(err, c)
			}
			e.POST("/:name", func(c echo.Context) error {
				limit := rand.N(bank.longest)
				if rand.IntN(10) == 0 {
					limit = time.Minute // So that some are done on the slowest machine.
				}
				ctx, cancel := context.WithTimeout(c.Request().Context(), limit)
				defer cancel()
				db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
				if err := insertAll(ctx, db, c.Param("name")); err != nil {
					return err
				}
				switch rand.IntN(50) {
				case 0:
					panic("leave")
				case 1:
					runtime.Goexit()
				}
				return c.NoContent(http.StatusCreated)
			}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))

			reported := sendAll(t, e, bank.n, bank.longest)
			requireTruthOf(ctx, t, s, reported)
			requireAtRest(t, x)
		})
	}
}

// sendAll sends n requests from 8 clients, some of which go away, and returns
// the status that each was answered with.
func sendAll(t *testing.T, e *echo.Echo, n int, longest time.Duration) map[string]int {
	t.Helper()
	var (
		clients  sync.WaitGroup
		next     atomic.Int64
		mu       sync.Mutex
		reported = make(map[string]int, n)
	)
	for range 8 {
		clients.Go(func() {
			for {
				i := int(next.Add(1))
				if i > n {
					return
				}
				name := fmt.Sprint("r", i)
				req := httptest.NewRequest(http.MethodPost, "/"+name, nil)
				cancel := context.CancelFunc(func() {})
				if i%3 == 0 {
					var ctx context.Context
					ctx, cancel = context.WithTimeout(req.Context(), rand.N(2*longest))
					req = req.WithContext(ctx)
				}
				rec := httptest.NewRecorder()
				if !apart(func() { e.ServeHTTP(rec, req) }) {
					rec.Code = http.StatusInternalServerError
				}
				cancel()
				mu.Lock()
				reported[name] = rec.Code
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return reported
}

// requireTruthOf compares what was reported with what is there.
func requireTruthOf(ctx context.Context, t *testing.T, s *echobun.Session, reported map[string]int) {
	t.Helper()
	there := map[string]int{}
	for _, model := range []any{(*Debit)(nil), (*Credit)(nil), (*Note)(nil)} {
		var names []string
		require.NoError(t, s.NewSelect().Model(model).Column("name").Scan(ctx, &names))
		for _, name := range names {
			there[name]++
		}
	}
	done, failed := 0, 0
	for name, status := range reported {
		require.Contains(t, []int{0, 3}, there[name], "GRAVE: half a transaction: %s, status %d", name, status)
		switch status {
		case http.StatusCreated:
			done++
			require.Equal(t, 3, there[name], "GRAVE: reported as done, and not there: %s", name)
		case http.StatusAccepted:
		default:
			failed++
			require.Zero(t, there[name], "GRAVE: committed, and reported as failed: %s, status %d", name, status)
		}
	}
	require.Positive(t, done)
	require.Positive(t, failed)
	t.Logf("%d done, %d failed", done, failed)
}
