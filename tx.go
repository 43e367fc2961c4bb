package echobun

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// RunInTx runs fn in a transaction over all binds. It commits if fn returns
// nil; else it rolls back and returns fn's error, and it rolls back when fn
// panics. The transaction begins on each bind at its first statement there,
// so binds that fn does not use take no part.
//
// The session tx and everything reached through it is inside: builders,
// relations, Bind, For and NewRaw. [Extension.Session] returns tx for the
// context that fn gets, which is ctx otherwise. Until the commit begins, the
// end of ctx rolls the transaction back; then it goes on to its end, for
// CommitTimeout at most on each bind.
//
// A failed statement dooms the transaction, on every database: what follows
// in it, and its commit, is [ErrTxDoomed], which unwraps to the failure.
//
// Binds commit one after the other. If the first fails, the others roll back
// and its error is returned; if a later one does, the error is a
// [*CommitError]. [TxOptions] has the order, and two-phase commit for when
// that is not enough.
//
// On a session that is in a transaction already, RunInTx is nested: a
// savepoint on each bind that is used inside. If fn fails, what it did is
// rolled back and the outer transaction goes on as if it had not been tried.
// Meanwhile the outer session takes no statements ([ErrOutsideTx]).
func (s *Session) RunInTx(ctx context.Context, opts *TxOptions, fn func(ctx context.Context, tx *Session) error) error {
	if s.level != nil {
		return s.level.run(ctx, opts, fn)
	}
	o, err := s.mayBegin(ctx, opts)
	if err != nil {
		return err
	}
	if o.Retries == 0 {
		return newTransaction(ctx, s, o).run(ctx, fn)
	}
	return retrying(ctx, o.Retries, func() error {
		return newTransaction(ctx, s, o).run(ctx, fn)
	})
}

// Begin begins a transaction as [Session.RunInTx] does, and returns its
// session. It must be ended with Commit or Rollback; the end of ctx, or of
// the app context, rolls it back. Retries is an error here.
//
//	tx, err := db.Begin(ctx, nil)
//	if err != nil {
//		return err
//	}
//	defer tx.Rollback(ctx)
//	...
//	return tx.Commit(ctx)
func (s *Session) Begin(ctx context.Context, opts *TxOptions) (*Session, error) {
	if s.level != nil {
		l, err := s.level.nest(ctx, opts)
		if err != nil {
			return nil, err
		}
		l.begun = true
		return &l.session, nil
	}
	o, err := s.mayBegin(ctx, opts)
	if err != nil {
		return nil, err
	}
	if o.Retries > 0 {
		return nil, &ConfigError{Field: "TxOptions.Retries", Err: errors.New("only RunInTx has a function to run again")}
	}
	t := newTransaction(ctx, s, o)
	t.root.begun = true
	t.openedHere()
	return &t.root.session, nil
}

// mayBegin returns the options of a transaction that a plain session begins.
func (s *Session) mayBegin(ctx context.Context, opts *TxOptions) (TxOptions, error) {
	if err := s.usable(); err != nil {
		return TxOptions{}, err
	}
	if err := s.outside(ctx); err != nil {
		return TxOptions{}, fmt.Errorf("echobun: begin: %w", err)
	}
	return s.app.x.txOptions(opts)
}

// Commit commits a transaction that [Session.Begin] has begun, or releases
// its savepoint if it is nested. It uses ctx for its values only. For any
// other session it is [ErrNotBegun]; for one that has ended, an error that
// matches [sql.ErrTxDone]. See RunInTx for its errors. Whatever Commit
// returns, the transaction is over.
func (s *Session) Commit(ctx context.Context) error {
	l := s.level
	if l == nil || !l.begun {
		return ErrNotBegun
	}
	if l.parent != nil {
		return l.release()
	}
	return l.t.commit(ctx)
}

// Rollback rolls back a transaction that [Session.Begin] has begun. It uses
// ctx for its values only. After Commit, after another Rollback and after the
// end of Begin's context it does nothing and returns nil, so it can be
// deferred. For any other session it is [ErrNotBegun].
func (s *Session) Rollback(_ context.Context) error {
	l := s.level
	if l == nil || !l.begun {
		return ErrNotBegun
	}
	if l.parent != nil {
		return l.revert()
	}
	return l.t.rollback()
}

// InTx reports whether s is the session of a transaction.
func (s *Session) InTx() bool { return s.level != nil }

// AfterCommit has fn called when the transaction has committed on all binds:
// to send a mail, to start a job, to invalidate a cache. In a nested
// transaction it waits for the outermost one; after a rollback, or a commit
// that failed on any bind, it is never called. Functions run one after the
// other in the order of the calls, on a context with the values of the transaction's and without its cancellation.
// A panic in one is logged, and the others still run.
//
// On a session that is in no transaction, or whose transaction has committed,
// fn runs at once.
func (s *Session) AfterCommit(fn func(ctx context.Context)) {
	if s.level == nil || !s.level.afterCommit(fn) {
		s.app.x.runAfterCommit(context.WithoutCancel(s.app), fn)
	}
}

// runAfterCommit calls the functions of AfterCommit.
func (x *Extension) runAfterCommit(ctx context.Context, fns ...func(context.Context)) {
	for _, fn := range fns {
		func() {
			defer func() {
				if p := recover(); p != nil {
					x.logger.ErrorContext(ctx, "echobun: panic after commit", "panic", x.panicked(p), "stack", string(debug.Stack()))
				}
			}()
			fn(ctx)
		}()
	}
}

// txContext is the context of what runs in a transaction. Once that is over,
// it carries the session that there was before.
type txContext struct {
	context.Context //nolint:containedctx // It is a context itself.

	l *level
}

func (c *txContext) Value(key any) any {
	if k, ok := key.(sessionKey); ok && k.x == c.l.session.app.x && !c.l.over.Load() {
		return &c.l.session
	}
	return c.Context.Value(key)
}

// outside returns ErrOutsideTx if ctx carries a transaction of the same
// extension, which a plain session does not belong to.
func (s *Session) outside(ctx context.Context) error {
	if in, ok := ctx.Value(sessionKey{s.app.x}).(*Session); ok && in.level != nil {
		return ErrOutsideTx
	}
	return nil
}
