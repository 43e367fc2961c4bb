package survive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

const (
	// loadClients is how many clients a server has when it dies.
	loadClients = 64
	// loadLimit is the time limit of their requests: longer than anything may take.
	loadLimit = 20 * time.Second
	// calm is how long after a server's return a request must not see an error any more.
	calm = time.Second
)

// newWriter returns an application that writes an item with one statement, in
// a transaction, or as an atomic request.
func newWriter(x *echobun.Extension) *echo.Echo {
	e := newServer(x)
	insert := func(c echo.Context) error {
		_, err := dbOf(c).NewInsert().Model(&Item{ID: c.Param("id")}).Exec(c.Request().Context())
		return errors.Join(err, done(c, err))
	}
	e.POST("/plain/:id", insert)
	e.POST("/atomic/:id", insert, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	e.POST("/tx/:id", func(c echo.Context) error {
		err := dbOf(c).RunInTx(c.Request().Context(), nil, func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewInsert().Model(&Item{ID: c.Param("id")}).Exec(ctx)
			return err
		})
		return errors.Join(err, done(c, err))
	})
	return e
}

// done answers, unless there is an error.
func done(c echo.Context, err error) error {
	if err != nil {
		return nil //nolint:nilerr // Errors.Join has it.
	}
	return c.NoContent(http.StatusCreated)
}

// write sends a write, in one way or another.
func write(ctx context.Context, e http.Handler, client, n int) *call {
	way := []string{"plain", "tx", "atomic"}[n%3]
	return send(ctx, e, http.MethodPost, fmt.Sprintf("/%s/c%d-%d", way, client, n), loadLimit)
}

// TestRestart kills a server under load and starts it again. The application
// goes on by itself.
func TestRestart(t *testing.T) { //nolint:paralleltest // It measures times.
	forKinds(t, func(t *testing.T, k kind) {
		noLeaks(t)
		server := k.start(t)
		x := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
		e := newWriter(x)
		for round := range pick(1, 5) {
			l := startLoad(t, loadClients, time.Millisecond, func(ctx context.Context, client, n int) *call {
				return write(ctx, e, 1000*round+client, n)
			})
			time.Sleep(pick(700*time.Millisecond, 2*time.Second)) // The load.
			server.Kill()
			died := time.Now()
			time.Sleep(500 * time.Millisecond) // The outage.
			server.Start()
			back := time.Now()
			time.Sleep(2*time.Second + calm) // It has to have recovered by then.
			calls := l.end()

			require.NotEmpty(t, failures(calls), "the outage was not felt")
			requireRecovered(t, calls, back, 2*time.Second)
			unknown := requireLedger(t, calls, ids(t, x, ""))
			t.Logf("%d calls, %d failed (%s), down for %v; last error %v after the return; %d unknown",
				len(calls), len(failures(calls)), kindsOf(failures(calls)), back.Sub(died).Round(time.Millisecond),
				lastFailure(calls).Sub(back).Round(time.Millisecond), unknown)
		}
	})
}

// lastFailure is when the last call that failed ended.
func lastFailure(calls []*call) time.Time {
	var last time.Time
	for _, c := range failures(calls) {
		if c.end.After(last) {
			last = c.end
		}
	}
	return last
}

// requireRecovered requires that the errors have ended within limit after a
// server's return, and that all of them say what happened.
func requireRecovered(t *testing.T, calls []*call, back time.Time, limit time.Duration) {
	t.Helper()
	for _, c := range failures(calls) {
		require.Less(t, c.end.Sub(back), limit, "%s, begun %v after the return: %v", c.id, c.start.Sub(back), c.err)
		require.Less(t, c.start.Sub(back), calm, "%s: %v", c.id, c.err)
		requireNamed(t, c.err, "")
		if !errors.Is(c.err, echobun.ErrUnavailable) && !errors.Is(c.err, echobun.ErrOutcomeUnknown) {
			require.NoError(t, c.err, "neither unavailable nor unknown: %s", outcome(c.err))
		}
	}
}
