package response

import (
	"bufio"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
)

// A Unit is the transaction of a request, as its response sees it.
type Unit interface {
	End() (after func(), err error) // Commits; what waits for that is to be called without a lock. Nil is nothing.
	Rollback()
	Renew()         // What follows is another transaction.
	Used() bool     // Whether there are statements in it.
	Lost(err error) // What came after the response has begun could not be committed.
}

// errPanicked is the failure of a commit that did not return.
var errPanicked = errors.New("a query hook panicked")

// An Atomic is the writer of a request that is one transaction. The
// transaction ends when the first header or byte is about to leave, and if it
// cannot be committed, nothing of the response does: what is written then goes
// nowhere and fails with that error, so that a stream ends and the error can be
// answered instead.
//
// It is safe for concurrent use.
type Atomic struct {
	http.ResponseWriter

	unit    Unit
	commits func(status int) bool
	entry   http.Header // The headers as they came in.

	mu      sync.Mutex // Protects what follows.
	settled bool       // The transaction has ended for the sake of the response.
	kept    bool       // By a commit.
	failed  error      // Why the commit failed.
	done    bool       // The request is over: everything passes.
}

// NewAtomic returns a writer before w. Whether the unit is committed
// depends on the status.
func NewAtomic(w http.ResponseWriter, u Unit, commits func(status int) bool) *Atomic {
	r := &Atomic{ResponseWriter: w, unit: u, commits: commits}
	if h := r.Header(); len(h) > 0 {
		r.entry = h.Clone()
	}
	return r
}

// begin ends the transaction, once, because the response begins. Statements
// after it are a new one. The error is that of the commit.
func (r *Atomic) begin(status int) error {
	after, failed := r.beginOnce(status)
	call(after) // Without mu: it may write.
	return failed
}

func (r *Atomic) beginOnce(status int) (after func(), failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.settled && !r.done {
		if after = r.settle(status); r.failed == nil {
			r.unit.Renew()
		}
	}
	return after, r.failed
}

// settle commits or rolls back, as the status says, and returns what waits for
// the commit. It needs mu.
func (r *Atomic) settle(status int) (after func()) {
	r.settled = true
	r.failed = errPanicked // Unless what follows returns.
	if status == 0 {
		status = http.StatusOK // Of one of Echo's responses that was not written to.
	}
	if r.kept = r.commits(status); r.kept {
		after, r.failed = r.unit.End()
		return after
	}
	r.unit.Rollback()
	r.failed = nil
	return nil
}

func call(after func()) {
	if after != nil {
		after()
	}
}

// End ends the transaction after the handler, which wrote what it had to
// write, with this status, and returned err. It returns the request's error.
func (r *Atomic) End(status int, err error) error {
	after, err := r.endOnce(status, err)
	call(after)
	return err
}

func (r *Atomic) endOnce(status int, err error) (after func(), _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.failed != nil:
		return nil, r.failed
	case err != nil:
		r.unit.Rollback()
		return nil, err
	case !r.settled:
		after = r.settle(status)
		return after, r.failed
	case !r.kept, !r.unit.Used():
		r.unit.Rollback()
		return nil, nil
	}
	after, err = r.unit.End()
	if err != nil {
		r.unit.Lost(err)
	}
	return after, err
}

// Pass lets everything through from now on. It reports whether the response
// so far has gone nowhere, and then makes the headers what they were.
func (r *Atomic) Pass() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
	if r.failed == nil {
		return false
	}
	r.failed = nil
	h := r.Header()
	clear(h)
	maps.Copy(h, r.entry)
	return true
}

// WriteHeader ends the transaction and sends the header. An informational one
// is only sent.
func (r *Atomic) WriteHeader(status int) {
	if status < 100 || status > 999 {
		r.ResponseWriter.WriteHeader(status) // Which panics.
		return
	}
	informs := status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
	if informs || r.begin(status) == nil {
		r.ResponseWriter.WriteHeader(status)
	}
}

// Write sends bytes, after a header if there was none.
func (r *Atomic) Write(b []byte) (int, error) {
	if err := r.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return r.ResponseWriter.Write(b)
}

// Flush sends what is there.
func (r *Atomic) Flush() { _ = r.FlushError() }

// FlushError is Flush for [http.ResponseController].
func (r *Atomic) FlushError() error {
	if !supports(r.ResponseWriter, canFlush) {
		return http.ErrNotSupported
	}
	if err := r.begin(http.StatusOK); err != nil {
		return err
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack hands the connection over, after a commit.
func (r *Atomic) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !supports(r.ResponseWriter, canHijack) {
		return nil, nil, http.ErrNotSupported
	}
	if err := r.begin(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Push starts a server push, where there is such a thing.
func (r *Atomic) Push(target string, opts *http.PushOptions) error {
	if p, ok := r.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap is for [http.ResponseController].
func (r *Atomic) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func canHijack(w http.ResponseWriter) bool { _, ok := w.(http.Hijacker); return ok }

func canFlush(w http.ResponseWriter) bool {
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		return true
	}
	return false
}

// supports goes through what is wrapped as [http.ResponseController] does.
func supports(w http.ResponseWriter, can func(http.ResponseWriter) bool) bool {
	for {
		if can(w) {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}
