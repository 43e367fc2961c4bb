package echobun

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echobun/echobun/internal/response"
)

// AppContext returns a context in which the engines of x may be used, and the
// function that ends it. It is for what is not a request: a command, a job, a
// test; a request gets its own from [Extension.Middleware].
//
// The app context takes values, deadline and cancellation from parent, but is
// otherwise on its own, also when parent is inside another app context: it
// has a session of its own and is in no transaction. A handler that starts
// work to outlive its request uses
//
//	ctx, end := x.AppContext(context.WithoutCancel(c.Request().Context()))
//
// End rolls back what is still open. After it, ctx and its sessions answer
// [ErrAppContextEnded]. Calling end again does nothing. Both may be used from
// several goroutines.
func (x *Extension) AppContext(parent context.Context) (ctx context.Context, end func()) {
	if parent == nil {
		panic("echobun: AppContext from a nil context")
	}
	a := newAppContext(parent, x)
	return a, a.end
}

// Session returns the session of ctx: the transaction's inside a
// transaction, else the app context's. Its errors are [ErrNoAppContext],
// [ErrAppContextEnded] and [ErrClosed].
func (x *Extension) Session(ctx context.Context) (*Session, error) {
	if ctx == nil {
		return nil, ErrNoAppContext
	}
	s, ok := ctx.Value(sessionKey{x}).(*Session)
	if !ok {
		if x.closed.Load() {
			return nil, ErrClosed
		}
		return nil, ErrNoAppContext
	}
	if err := s.usable(); err != nil {
		return nil, err
	}
	return s, nil
}

// sessionKey is the context key of an extension's session.
type sessionKey struct{ x *Extension }

// appContext is the span in which engines may be used. It is one allocation
// with its session, because every request makes one.
type appContext struct {
	context.Context //nolint:containedctx // It is a context itself; this is its parent.

	x       *Extension
	session Session
	request bool        // The middleware made it. Never changes after that.
	refused bool        // The extension was shutting down. Never changes after it was made.
	ended   atomic.Bool // Goes from false to true once.
	queries queries
	timings atomic.Pointer[response.Timings] // Nil unless somebody wants to know.

	mu     sync.Mutex      // Protects what follows.
	live   context.Context //nolint:containedctx // Cancelled by end; Bun's transactions derive from it.
	cancel context.CancelFunc
	open   []*transaction // Rolled back by end.
	over   bool           // What was open has been ended, and nothing more may be.
	loose  int32          // Transactions of Bun's that live on it.
	still  chan struct{}  // Closed when there are none; nil unless somebody waits.

	next, previous *appContext // Of those that run; see [running].
}

func newAppContext(parent context.Context, x *Extension) *appContext {
	a := &appContext{Context: parent, x: x}
	a.session.app = a
	a.refused = !x.running.add(a)
	return a
}

// Value returns the session for the extension's key, else what the parent has.
func (a *appContext) Value(key any) any {
	if k, ok := key.(sessionKey); ok && k.x == a.x {
		return &a.session
	}
	return a.Context.Value(key)
}

func (a *appContext) end() {
	if a.ended.Swap(true) {
		return
	}
	for _, t := range a.stop() {
		go t.abort(ErrAppContextEnded) // A statement that still runs may take its time.
	}
	if !a.refused {
		a.x.running.remove(a)
	}
}

// stop ends Bun's transactions, and returns the others that are open.
func (a *appContext) stop() (open []*transaction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	if a.cancel != nil {
		a.cancel()
	}
	open, a.open = a.open, nil
	return open
}

// opened has end roll t back, now if that is over.
func (a *appContext) opened(t *transaction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over || a.ended.Load() {
		go t.abort(cmpError(a.usable(), ErrAppContextEnded))
		return
	}
	a.open = append(a.open, t)
}

// forget has end leave t alone. It reports false if end came first.
func (a *appContext) forget(t *transaction) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.open, t)
	if i < 0 {
		return false
	}
	a.open = slices.Delete(a.open, i, i+1)
	return true
}

// lifetime returns a context that carries nothing but a and ends with it, for
// a transaction of Bun's. It is made when the first one asks for it. Begun is
// to be called when that has begun, or has failed to.
func (a *appContext) lifetime() (life context.Context, begun func()) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.live == nil {
		a.live, a.cancel = context.WithCancel(context.WithValue(context.Background(), lifeKey{a.x}, a))
		if a.over || a.ended.Load() {
			a.cancel()
		}
	}
	a.loose++
	return a.live, a.release
}

// lifeKey is the context key of the app context that a transaction of Bun's lives on.
type lifeKey struct{ x *Extension }

// lifeOf returns the app context that the transaction lives on which a
// connection is to begin for ctx, or nil.
func (e *engine) lifeOf(ctx context.Context) *appContext {
	a, _ := ctx.Value(lifeKey{e.metadata.x}).(*appContext)
	return a
}

// hold is called when a connection has begun a transaction that lives on a.
func (a *appContext) hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loose++
}

// release is called when that has ended.
func (a *appContext) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loose--
	if a.loose == 0 && a.still != nil {
		close(a.still)
		a.still = nil
	}
}

// settled returns a channel that is closed when no transaction of Bun's lives
// on a, which must have been stopped.
func (a *appContext) settled() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.still == nil {
		a.still = make(chan struct{})
	}
	still := a.still
	if a.loose == 0 {
		close(still)
		a.still = nil
	}
	return still
}

// usable returns why a can't be used any more, or nil.
func (a *appContext) usable() error {
	if a.refused || a.x.closed.Load() {
		return ErrClosed
	}
	if a.ended.Load() {
		return ErrAppContextEnded
	}
	return nil
}

// timed adds a statement that began at start, if anybody wants to know.
func (a *appContext) timed(e *engine, start time.Time) {
	if t := a.timings.Load(); t != nil && !start.IsZero() {
		t.Add(e.index, time.Since(start))
	}
}

// clock returns the time, or the zero time if nobody wants to know.
func (a *appContext) clock() time.Time {
	if a.timings.Load() == nil {
		return time.Time{}
	}
	return time.Now()
}
