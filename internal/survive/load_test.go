package survive_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// A call is a request and what became of it.
type call struct {
	id         string
	start, end time.Time
	status     int
	err        error // What the handler returned.
}

func (c *call) took() time.Duration { return c.end.Sub(c.start) }

// known reports whether nothing may have come of a call that failed.
func (c *call) known() bool { return !errors.Is(c.err, echobun.ErrOutcomeUnknown) }

type callKey struct{}

// newServer returns an application whose error handler tells a call of its error.
func newServer(x *echobun.Extension) *echo.Echo {
	e := echo.New()
	e.Use(x.Middleware())
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		if c, ok := c.Request().Context().Value(callKey{}).(*call); ok {
			c.err = err
		}
		if !c.Response().Committed {
			_ = c.NoContent(http.StatusInternalServerError)
		}
	}
	return e
}

// dbOf returns a request's session.
func dbOf(c echo.Context) *echobun.Session {
	return c.Get("db").(*echobun.Session) //nolint:errcheck,forcetypeassert // A test.
}

// send sends one request with a time limit to e.
func send(ctx context.Context, e http.Handler, method, path string, limit time.Duration) *call {
	c := &call{id: path[strings.LastIndexByte(path, '/')+1:], start: time.Now()}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, callKey{}, c), limit)
	defer cancel()
	req, rec := httptest.NewRequestWithContext(ctx, method, path, nil), httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	c.end, c.status = time.Now(), rec.Code
	return c
}

// A load is clients that send one request after the other.
type load struct {
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu    sync.Mutex // Protects calls.
	calls []*call
}

// startLoad has clients send requests until the load is ended, each with a
// pause after each, half as long or up to half as long again: clients in step
// would be in each other's way. One gets the number of the client and of the request.
func startLoad(t *testing.T, clients int, pause time.Duration, one func(ctx context.Context, client, n int) *call) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{stop: stop}
	for client := range clients {
		l.clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c := one(context.WithoutCancel(ctx), client, n)
				l.mu.Lock()
				l.calls = append(l.calls, c)
				l.mu.Unlock()
				select {
				case <-time.After(pause/2 + rand.N(pause)):
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// end ends the load and returns its calls.
func (l *load) end() []*call {
	l.stop()
	l.clients.Wait()
	return l.calls
}

// failures returns the calls that failed.
func failures(calls []*call) []*call {
	return slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return c.err == nil })
}

// kindsOf counts failures by what they match, for people.
func kindsOf(calls []*call) string {
	counts := map[string]int{}
	for _, c := range calls {
		counts[outcome(c.err)]++
	}
	return fmt.Sprint(counts)
}

// outcome names what an error matches.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	names := map[string]error{
		"unavailable": echobun.ErrUnavailable, "unknown": echobun.ErrOutcomeUnknown, "pool": echobun.ErrPoolTimeout,
		"read-only": echobun.ErrReadOnly, "deadline": context.DeadlineExceeded, "doomed": echobun.ErrTxDoomed,
	}
	var matches []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if errors.Is(err, names[name]) {
			matches = append(matches, name)
		}
	}
	if matches == nil {
		return err.Error()
	}
	return strings.Join(matches, "+")
}

// requireNamed requires that an error says on which bind it came.
func requireNamed(t *testing.T, err error, bind string) {
	t.Helper()
	var bindErr *echobun.BindError
	require.ErrorAs(t, err, &bindErr)
	require.Equal(t, bind, bindErr.Bind)
}

// ids returns the ids of all items on a bind.
func ids(t *testing.T, x *echobun.Extension, bind string) map[string]bool {
	t.Helper()
	var all []string
	require.NoError(t, x.Engines()[bind].NewSelect().Table("items").Column("id").Scan(t.Context(), &all))
	there := make(map[string]bool, len(all))
	for _, id := range all {
		there[id] = true
	}
	return there
}

// requireLedger requires that every write that was acknowledged is there, and
// that none is of which it is known that it failed.
func requireLedger(t *testing.T, calls []*call, there map[string]bool) (unknown int) {
	t.Helper()
	for _, c := range calls {
		switch {
		case c.err == nil:
			require.True(t, there[c.id], "GRAVE: %s was acknowledged, and is not there", c.id)
		case c.known():
			require.False(t, there[c.id], "GRAVE: %s has failed, and is there: %v", c.id, c.err)
		default:
			unknown++
		}
	}
	return unknown
}
