package echobun

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
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
	queries  []QueryRecord
	dropped  int
}

// debugRequests are the last requests that have ended. Until a debug page is
// there to show them, there are none. They are safe for concurrent use.
type debugRequests struct {
	records bool // Config.RecordQueries; else there is nothing to show.
	args    bool
	slow    time.Duration
	mounted atomic.Bool

	mu    sync.Mutex // Protects what follows, and the status of what is in the ring.
	ring  []*debugRequest
	next  int // Where the next one goes once the ring is full: the oldest is there.
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
	r := &debugRequest{method: c.Request().Method, start: time.Now()}
	resp := c.Response()
	// The error handler's answer leaves after this has returned.
	resp.Before(func() { d.answered(r, resp.Status) })

	returned := false
	defer func() {
		r.duration = time.Since(r.start)
		if c.Get(debugPageKey) != nil {
			return
		}
		guess := http.StatusOK
		switch {
		case !returned:
			guess, r.problem = http.StatusInternalServerError, "panic"
		case err != nil:
			guess, r.problem = statusOf(err), d.explain(err)
		}
		r.route = c.Path() // A middleware before the router is served before it is known.
		r.queries, r.dropped = a.queries.all()
		r.shorten()
		d.add(r, guess)
	}()
	err = serve()
	returned = true
	return err
}

// shorten lets go of what is too long to be shown: an INSERT of many rows may
// take megabytes, and would be kept for as long as its request is.
func (r *debugRequest) shorten() {
	r.method, r.problem = shorten4k(r.method), shorten4k(r.problem)
	for i := range r.queries {
		q := &r.queries[i]
		q.Template, q.Query = shorten4k(q.Template), shorten4k(q.Query)
	}
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
		return scrubMessage(fmt.Sprint(he.Message))
	}
	return scrubbed(err)
}

// answered notes the status that leaves.
func (d *debugRequests) answered(r *debugRequest, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.status = status
}

// add remembers a request, and forgets the oldest if there are too many.
func (d *debugRequests) add(r *debugRequest, guess int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.status == 0 {
		r.status = guess
	}
	d.total++
	if len(d.ring) < maxDebugRequests {
		d.ring = append(d.ring, r)
		return
	}
	d.ring[d.next] = r
	d.next = (d.next + 1) % maxDebugRequests
}

// newest returns what is remembered, the last one first, and how many there
// were in all.
func (d *debugRequests) newest() (requests []debugRequest, total int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.ring)
	requests = make([]debugRequest, 0, n)
	for i := range n {
		requests = append(requests, *d.ring[(d.next+n-1-i)%n])
	}
	return requests, d.total
}
