package echobun

import (
	"context"
	"database/sql"
	"errors"
	"runtime"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/bridge"
	"github.com/echobun/echobun/internal/wire"
)

// BeginTx begins Bun's transaction on this engine: a savepoint, if the session
// is in a transaction. The context cancels BEGIN and nothing after it; the end
// of the app context, or of the session's transaction, rolls back.
func (h *handle) BeginTx(ctx context.Context, opts *sql.TxOptions) (bun.Tx, error) {
	if h.s.level != nil {
		tx, _, err := h.savepoint(ctx, opts)
		return tx, err
	}
	if h.e.hooked {
		ctx = bridge.WithTx(ctx)
	}
	tx, done, err := h.beginTx(ctx, opts)
	if err == nil {
		// Bun's Tx does not say when it ends; its context is needed until it does.
		runtime.AddCleanup(tx.Tx, func(done func()) { done() }, done)
	}
	return tx, err
}

// beginTx is BeginTx for who knows when the transaction ends, and calls done then.
func (h *handle) beginTx(ctx context.Context, opts *sql.TxOptions) (tx bun.Tx, done func(), err error) {
	if err := h.s.admits(ctx, h.e, "BEGIN"); err != nil {
		return bun.Tx{}, nil, err
	}
	life, begun := h.s.app.lifetime()
	defer begun()
	start := h.s.app.clock()
	tx, done, err = h.e.beginDetached(h.s.claims(ctx, h.e, "BEGIN", nil), life, h.e.db, opts)
	h.s.app.timed(h.e, start)
	if err != nil && ctx.Err() == nil && h.ended(err) != err { //nolint:errorlint // The same error or not.
		err = h.e.wrap("BEGIN", h.ended(err))
	}
	return tx, done, err
}

// beginDetached begins a transaction that lives as long as life, or until
// done is called. The context cancels BEGIN and nothing after it.
func (e *engine) beginDetached(ctx, life context.Context, db beginner, opts *sql.TxOptions) (tx bun.Tx, done func(), err error) {
	if ctx.Done() == nil && life.Done() == nil && !e.hooked {
		return e.beginAttached(ctx, db, opts)
	}
	own, cancel := context.WithCancelCause(detached{life, ctx})
	disarm := context.AfterFunc(ctx, func() { cancel(ctx.Err()) })
	returned := false
	defer func() {
		if !returned {
			cancel(errPanicked) // Nobody else has what may have begun.
		}
	}()

	tx, w, err := e.begin(own, db, opts) //nolint:contextcheck // It is detached from ctx on purpose.
	returned = true
	inTime := disarm()
	if err == nil && inTime {
		return tx, func() { cancel(nil) }, nil
	}
	if err == nil {
		_ = tx.Rollback() // The context was faster than the answer to BEGIN.
	}
	timeout := e.poolTimeout(w) // Before own is cancelled, which is not why the wait ended.
	cancel(nil)
	switch {
	case timeout != nil:
		err = timeout
	case !inTime && ctx.Err() != nil:
		err = e.tooLate(ctx.Err())
	}
	return bun.Tx{}, nil, e.wrap("BEGIN", e.overtaken(err))
}

// tooLate is the error of a BEGIN whose caller had no time left. A server that
// is there answers at once; only SQLite has a BEGIN wait for a lock.
func (e *engine) tooLate(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || e.db.Dialect().Name() == dialect.SQLite {
		return err
	}
	return &BindError{Bind: e.key, Op: "BEGIN", Err: err, class: driver.Unavailable}
}

// beginAttached is beginDetached for a context that cannot end, and an engine
// without hooks, which could panic.
func (e *engine) beginAttached(ctx context.Context, db beginner, opts *sql.TxOptions) (bun.Tx, func(), error) {
	tx, w, err := e.begin(ctx, db, opts)
	switch {
	case err == nil && w == nil:
		return tx, func() {}, nil // It did not have to wait.
	case err == nil:
		return tx, w.release, nil
	}
	if timeout := e.poolTimeout(w); timeout != nil {
		err = timeout
	}
	w.release()
	return bun.Tx{}, nil, e.wrap("BEGIN", e.overtaken(err))
}

// begin asks the pool for a connection and begins the transaction on it.
func (e *engine) begin(ctx context.Context, db beginner, opts *sql.TxOptions) (tx bun.Tx, w *waiter, err error) {
	ctx, w = e.pool.enter(ctx)
	defer e.pool.leave(w) // Also when a hook of the user's panics.
	tx, err = db.BeginTx(ctx, opts)
	return tx, w, err
}

// savepoint begins Bun's nested transaction in the session's.
func (h *handle) savepoint(ctx context.Context, opts *sql.TxOptions) (bun.Tx, *branch, error) {
	if opts != nil {
		nested := &TxOptions{Isolation: opts.Isolation, ReadOnly: opts.ReadOnly}
		if err := h.s.level.t.opts.checkNested(nested); err != nil {
			return bun.Tx{}, nil, err
		}
	}
	b, err := h.branch(ctx, "BEGIN")
	if err != nil {
		return bun.Tx{}, nil, err
	}
	// Bun ends a savepoint with the context that it began with.
	tx, err := b.tx.BeginTx(h.s.claims(context.WithoutCancel(ctx), h.e, "SAVEPOINT", b), opts)
	return tx, b, h.e.wrap("SAVEPOINT", err)
}

// RunInTx runs fn in one of Bun's transactions on this engine. It commits if
// fn returns nil, else it rolls back, also when fn panics. The context that
// fn gets is the caller's; when it ends, the statements that use it fail. If
// the app context ended meanwhile, the error is ErrAppContextEnded.
func (h *handle) RunInTx(ctx context.Context, opts *sql.TxOptions, fn func(context.Context, bun.Tx) error) error {
	if h.s.level != nil {
		return h.runNested(ctx, opts, fn)
	}
	if h.e.hooked {
		ctx = bridge.WithTx(ctx)
	}
	if h.e.is(dialect.SQLite) {
		ctx = wire.WithUnit(ctx) // Of this and those that fn begins with its context on other binds.
	}
	tx, done, err := h.beginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer done()

	committing := false
	defer func() {
		if !committing {
			_ = tx.Rollback()
		}
	}()
	if err := fn(ctx, tx); err != nil {
		if h.s.app.x.closed.Load() {
			return closedBy(h.txError(err), ErrClosed)
		}
		return h.txError(err)
	}
	committing = true
	return h.e.wrap("COMMIT", h.ended(tx.Commit()))
}

// runNested runs fn in one of Bun's nested transactions. What fails inside and
// is rolled back does not doom the session's transaction.
func (h *handle) runNested(ctx context.Context, opts *sql.TxOptions, fn func(context.Context, bun.Tx) error) error {
	failures := h.s.level.countFailures()
	tx, b, err := h.savepoint(ctx, opts)
	if err != nil {
		return err
	}
	returned := false
	rollback := func() error {
		err := errPanicked // Unless Bun returns.
		defer func() {
			if err == nil {
				h.s.level.heal(b, failures)
			} else {
				h.s.level.failed(b, err)
			}
		}()
		err = h.e.wrap("ROLLBACK TO", tx.Rollback())
		return err
	}
	defer func() {
		if !returned {
			h.s.app.x.logRollback(ctx, rollback())
		}
	}()
	err = fn(ctx, tx)
	if err != nil {
		returned = true
		return joinBehind(h.txError(err), rollback())
	}
	err = h.e.wrap("RELEASE", tx.Commit())
	returned = true
	return err
}

// txError returns the error of fn as it is, unless it is a driver's or comes
// from the end of the app context.
func (h *handle) txError(err error) error {
	if ended := h.ended(err); !errors.Is(err, ended) {
		return ended
	}
	if h.e.classify(err) != 0 {
		return h.e.wrap("transaction", err)
	}
	return err
}

// ended returns why the app context rolled a transaction back, if that is
// what err comes from, else err.
func (h *handle) ended(err error) error {
	if !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, context.Canceled) {
		return err
	}
	if ended := h.s.usable(); ended != nil {
		return ended
	}
	return err
}

// detached is a context with the values of one and the life of another.
type detached struct {
	context.Context //nolint:containedctx // It is a context itself.

	values context.Context //nolint:containedctx // Asked for values only.
}

// Value asks the context that lives first: the standard library finds what it
// has to cancel there.
func (d detached) Value(key any) any {
	if v := d.Context.Value(key); v != nil {
		return v
	}
	return d.values.Value(key)
}
