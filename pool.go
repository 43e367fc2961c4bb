package echobun

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/echobun/echobun/internal/bridge"
)

// pool bounds how long sessions and builders wait for a connection, which
// database/sql does not. It only counts while connections are free; a timer runs for those
// calls alone that have to wait, and stops when their statement reaches a
// connection.
type pool struct {
	size    int           // Most connections; zero means no limit, and no waiting.
	maxIdle int           // Most of them that are kept unused; zero means no limit.
	timeout time.Duration // Longest wait; zero or less means for ever.
	inUse   func() int    // Connections that are in use, by whomever.

	calls   atomic.Int64 // Calls that run or wait.
	held    atomic.Int64 // Connections kept past their call by rows and transactions.
	waiters atomic.Int64 // Calls that have a waiter.

	pending  atomic.Int64 // Waiters that wait.
	timeouts atomic.Int64 // Waits that were too long, for the limit or for the caller's deadline.
}

// enter is called before a connection is asked for. If it may have to
// wait, the call must go on with the waiter as its context.
func (p *pool) enter(ctx context.Context) (context.Context, *waiter) {
	if p.size <= 0 {
		return ctx, nil
	}
	wanted := p.calls.Add(1) + p.held.Load()
	if wanted <= int64(p.size) && p.inUse() < p.size {
		return ctx, nil
	}

	w := &waiter{pool: p, caller: ctx, start: time.Now()}
	w.Context, w.cancel = context.WithCancelCause(ctx)
	p.waiters.Add(1)
	p.pending.Add(1)
	if p.timeout > 0 {
		w.timer = time.AfterFunc(p.timeout, w.expire)
	}
	return w, w
}

// leave is called when the call that entered is over.
func (p *pool) leave(w *waiter) {
	if p.size <= 0 {
		return
	}
	p.calls.Add(-1)
	if w == nil {
		return
	}
	if w.state.CompareAndSwap(waiting, gaveUp) {
		w.left()
	}
	p.waiters.Add(-1)
}

// arrive is called when a connection is about to work for ctx. It returns an
// error if the wait is over already: nothing must be sent then.
func (p *pool) arrive(ctx context.Context) error {
	if w := p.waiter(ctx); w != nil {
		return w.arrive()
	}
	return nil
}

// again is called when a connection could not work for ctx after all:
// database/sql asks for another one, and may have to wait once more.
func (p *pool) again(ctx context.Context) {
	if w := p.waiter(ctx); w != nil {
		w.again()
	}
}

// waiter returns the waiter of p that ctx comes from, or nil.
func (p *pool) waiter(ctx context.Context) *waiter {
	if p.waiters.Load() == 0 {
		return nil
	}
	if w, ok := ctx.Value(waiterKey{p}).(*waiter); ok {
		return w
	}
	return nil
}

type waiterKey struct{ pool *pool }

// A waiter is the context of a call that has to wait for a connection.
type waiter struct {
	context.Context //nolint:containedctx // It is a context itself.

	pool   *pool
	caller context.Context //nolint:containedctx // What the call came with.
	cancel context.CancelCauseFunc
	start  time.Time
	timer  *time.Timer // Nil means that there is no limit.
	state  atomic.Int32
}

// The states of a waiter. The last two are final.
const (
	waiting int32 = iota
	arrived       // A connection works for the call.
	expired       // The timer was faster.
	gaveUp        // The call ended without either.
)

func (w *waiter) Value(key any) any {
	if k, ok := key.(waiterKey); ok && k.pool == w.pool {
		return w
	}
	return w.Context.Value(key)
}

// left is called when the call that waited is over.
func (w *waiter) left() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.pool.pending.Add(-1)
	if w.deadline() != nil {
		w.pool.timeouts.Add(1)
	}
}

func (w *waiter) arrive() error {
	if w.state.CompareAndSwap(waiting, arrived) {
		w.pool.pending.Add(-1)
		if w.timer != nil {
			w.timer.Stop()
		}
		return nil
	}
	if w.state.Load() == expired {
		return ErrPoolTimeout // Not the context's cause, which comes a moment later.
	}
	return nil
}

// again lets the clock run on where it was stopped.
func (w *waiter) again() {
	if !w.state.CompareAndSwap(arrived, waiting) {
		return
	}
	w.pool.pending.Add(1)
	if w.timer != nil {
		w.timer.Reset(w.pool.timeout - time.Since(w.start))
	}
}

func (w *waiter) expire() {
	if w.state.CompareAndSwap(waiting, expired) {
		w.pool.pending.Add(-1)
		w.pool.timeouts.Add(1)
		w.cancel(ErrPoolTimeout)
	}
}

// release lets the caller's context forget w. It does nothing for nil.
func (w *waiter) release() {
	if w != nil {
		w.cancel(nil)
	}
}

// timedOut returns the error of a wait that was too long, for the pool's limit
// or for the caller's deadline. It is nil if that is not what happened.
func (p *pool) timedOut(w *waiter) *poolTimeoutError {
	if w == nil || w.state.Load() == arrived {
		return nil
	}
	deadline := w.deadline()
	if w.state.Load() != expired && deadline == nil {
		return nil
	}
	return &poolTimeoutError{size: p.size, waited: time.Since(w.start), cause: deadline}
}

// deadline returns [context.DeadlineExceeded] if that ended the caller's
// context. A caller may have given its deadline a cause of its own, and the
// context of a BEGIN has the caller's error as its cause.
func (w *waiter) deadline() error {
	if errors.Is(w.caller.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(w.caller), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return nil
}

// poolTimeoutError is what ErrPoolTimeout looks like.
type poolTimeoutError struct {
	size   int
	waited time.Duration
	cause  error // The caller's context error, if that ended the wait.
	inside bool  // The caller's own transaction has one of the connections.

	lost *BindError // Why the database was unavailable when it was last asked; nil if it was not.
}

func (e *poolTimeoutError) Error() string {
	text := fmt.Sprintf("%v: waited %s while all %d connections of the pool were in use",
		ErrPoolTimeout, e.waited.Round(time.Millisecond), e.size)
	if e.lost != nil {
		return fmt.Sprintf("%s; %v when it was last asked: %s: %v", text, ErrUnavailable, e.lost.Op, e.lost.Err)
	}
	text += ": raise MaxOpenConns or PoolTimeout, or close rows and transactions sooner"
	if e.inside {
		text += "; the transaction that this was sent from holds one of them: use its session"
	}
	return text
}

func (e *poolTimeoutError) Is(target error) bool { return target == ErrPoolTimeout }

func (e *poolTimeoutError) Unwrap() error { return e.cause }

// What is counted here and not by database/sql, for metrics.
var _ = bridge.SetPoolOf(func(extension any, bind string) (bridge.Pool, bool) {
	x, _ := extension.(*Extension)
	e, known := x.engines[bind]
	if !known || !e.owned {
		return bridge.Pool{}, false
	}
	return bridge.Pool{MaxIdle: e.pool.maxIdle, Pending: e.pool.pending.Load(), Timeouts: e.pool.timeouts.Load()}, true
})
