package echobun

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/internal/sqltext"
)

// maxDebugRequests is how many requests the debug page remembers.
const maxDebugRequests = 50

// debugPageKey is where c.Get tells that the request asks for a debug page,
// which is not to be listed on it.
const debugPageKey = "echobun.debug"

// A debugRequest is a request as the debug page remembers it. It keeps nothing
// of the request itself alive.
type debugRequest struct {
	method   string
	route    string // The pattern: what was asked for in it may be a secret.
	start    time.Time
	duration time.Duration
	status   int    // Zero until it is known.
	problem  string // Why it failed, as far as it may be shown.
	records  []debugRecord
	dropped  int
	size     int // What all of this takes, in bytes.
}

// debugRequests are the last requests that have ended. Until a debug page is
// there to show them, there are none. They are safe for concurrent use.
type debugRequests struct {
	records bool // Config.RecordQueries; else there is nothing to show.
	args    bool
	slow    time.Duration
	mounted atomic.Bool

	mu    sync.Mutex      // Protects what follows, and the status of what is kept.
	kept  []*debugRequest // The oldest first.
	size  int             // Of all that is kept, at most debugBudget.
	total int
}

func newDebugRequests(cfg Config) *debugRequests {
	d := &debugRequests{records: cfg.RecordQueries, args: cfg.LogArgs, slow: cfg.SlowQuery}
	if d.slow <= 0 {
		d.slow = defaultDebugSlow
	}
	return d
}

// mount says that there is a page.
func (d *debugRequests) mount() {
	if d.records {
		d.mounted.Store(true)
	}
}

// watch serves the request of an app context and remembers it.
func (d *debugRequests) watch(c echo.Context, a *appContext, serve func() error) (err error) {
	r := &debugRequest{start: time.Now()}
	resp := c.Response()
	// The error handler's answer leaves after this has returned.
	resp.Before(func() { d.answered(r, resp.Status) })

	returned := false
	defer func() {
		r.duration = time.Since(r.start)
		if c.Get(debugPageKey) != nil {
			return
		}
		guess, problem := http.StatusOK, ""
		switch {
		case !returned:
			guess, problem = http.StatusInternalServerError, "panic"
		case err != nil:
			guess, problem = statusOf(err), d.explain(err)
		}
		sent, dropped := a.queries.all()
		// A middleware before the router is served before the route is known.
		r.keep(c.Request().Method, c.Path(), problem, sent, dropped)
		d.add(r, guess)
	}()
	err = serve()
	returned = true
	return err
}

// statusOf returns what Echo's own error handler answers.
func statusOf(err error) int {
	he, ok := err.(*echo.HTTPError) //nolint:errorlint // As Echo does.
	if !ok {
		return http.StatusInternalServerError
	}
	if inner, ok := he.Internal.(*echo.HTTPError); ok { //nolint:errorlint // As Echo does.
		return inner.Code
	}
	return he.Code
}

// explain says what an error says, but not the values that a database may
// complain about.
func (d *debugRequests) explain(err error) string {
	if d.args {
		return err.Error()
	}
	if he, ok := err.(*echo.HTTPError); ok && he.Internal == nil { //nolint:errorlint // A wrapped one has more to say.
		return sqltext.ScrubMessage(fmt.Sprint(he.Message))
	}
	return scrubbed(err)
}

// answered notes the status that leaves.
func (d *debugRequests) answered(r *debugRequest, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.status = status
}

// add remembers a request, and forgets the oldest if there are too many, or
// they take too much.
func (d *debugRequests) add(r *debugRequest, guess int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.status == 0 {
		r.status = guess
	}
	d.total++
	d.size += r.size
	d.kept = append(d.kept, r)
	old := 0
	for len(d.kept)-old > maxDebugRequests || d.size > debugBudget {
		d.size -= d.kept[old].size
		old++
	}
	d.kept = slices.Delete(d.kept, 0, old)
}

// newest returns what is remembered, the last one first, how many bytes it
// takes, and how many requests there were in all.
func (d *debugRequests) newest() (requests []debugRequest, size, total int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	requests = make([]debugRequest, 0, len(d.kept))
	for _, r := range slices.Backward(d.kept) {
		requests = append(requests, *r)
	}
	return requests, d.size, d.total
}
