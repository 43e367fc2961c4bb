package echobun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/echobun/echobun/driver"
)

// A level is a transaction or, with a parent, a transaction nested in it. It
// is what a Session in a transaction stands on. A nested one is a savepoint
// on each branch that is used while it is open.
type level struct {
	t       *transaction
	parent  *level          // Nil for the transaction itself.
	ctx     context.Context //nolint:containedctx // Of a nested level: its end rolls back, until the release begins.
	name    string          // Of the savepoints.
	session Session
	begun   bool // By Begin, so it is ended by Commit or Rollback.

	over atomic.Bool // Written under t.mu.

	// t.mu protects what follows.
	released bool   // It has become part of its parent.
	child    *level // The nested transaction that is open.
	failures []failure
	after    []func(context.Context)
}

// A failure is a statement that failed.
type failure struct {
	b   *branch
	err error
}

// failure returns the first one, or nil. It needs t.mu.
func (l *level) failure() error {
	if len(l.failures) == 0 {
		return nil
	}
	return l.failures[0].err
}

// run runs fn in a nested transaction.
func (l *level) run(ctx context.Context, opts *TxOptions, fn func(context.Context, *Session) error) error {
	inner, err := l.nest(ctx, opts)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // A panic or a Goexit goes on.
			l.t.app.x.logRollback(ctx, inner.revert())
		}
	}()
	err = fn(&txContext{Context: ctx, l: inner}, &inner.session)
	returned = true
	if err != nil {
		return joinBehind(err, inner.revert())
	}
	return inner.release()
}

// nest opens a nested transaction.
func (l *level) nest(ctx context.Context, opts *TxOptions) (*level, error) {
	t := l.t
	if err := l.session.usable(); err != nil {
		return nil, err
	}
	if err := t.opts.checkNested(opts); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := l.refusal(); err != nil {
		return nil, fmt.Errorf("echobun: begin: %w", err)
	}
	t.names++
	inner := &level{t: t, parent: l, ctx: ctx, name: "echobun_" + strconv.Itoa(t.names)}
	inner.session.app, inner.session.level = t.app, inner
	l.child = inner
	return inner, nil
}

// refusal returns why l takes no statement now, or nil. It needs t.mu.
func (l *level) refusal() error {
	if err := l.t.doomError(); err != nil {
		return err
	}
	switch {
	case l.over.Load():
		return errTxOver
	case l.child != nil:
		return ErrOutsideTx
	case len(l.failures) > 0:
		return &doomedError{cause: l.failure()}
	}
	return nil
}

// branch returns the part of the transaction on an engine, ready for a
// statement on this level.
func (l *level) branch(ctx context.Context, e *engine) (_ *branch, err error) {
	b, err := l.find(e)
	if err != nil {
		return nil, err
	}
	err = errPanicked // Unless ready returns.
	defer func() {
		if err != nil {
			l.failed(b, err)
		}
	}()
	if err = b.ready(ctx, l); err != nil {
		return nil, err
	}
	return b, nil
}

// find returns the branch of an engine, which has not begun if it is new.
func (l *level) find(e *engine) (*branch, error) {
	t := l.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := l.refusal(); err != nil {
		return nil, err
	}
	for _, b := range t.branches {
		if b.e == e {
			return b, nil
		}
	}
	b := &branch{t: t, e: e}
	t.used = true
	if len(t.branches) == 0 {
		t.watchLeak()
	}
	if t.branches == nil {
		t.branches = make([]*branch, 0, 4)
	}
	t.branches = append(t.branches, b)
	return b, nil
}

// failed dooms the level by the failure of a statement, and the whole
// transaction if the server has ended it.
func (l *level) failed(b *branch, err error) {
	t := l.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !slices.Contains(t.branches, b) {
		return // It may be a branch of the transaction before this one, in an atomic request.
	}
	for l.child != nil {
		l = l.child
	}
	if endsTx(err) && t.doom == nil {
		t.doom = err
	}
	if len(l.failures) == 0 || l.failures[len(l.failures)-1].b != b {
		l.failures = append(l.failures, failure{b, err})
	}
}

// endsTx reports whether err says that there is no transaction any more.
func endsTx(err error) bool {
	var bindErr *BindError
	return errors.As(err, &bindErr) && bindErr.class&(driver.DoomsTx|driver.OutcomeUnknown) != 0
}

// heal forgets the failures of a branch since there were n, because they were
// rolled back to a savepoint.
func (l *level) heal(b *branch, n int) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	kept := slices.DeleteFunc(l.failures[n:], func(f failure) bool { return f.b == b })
	l.failures = l.failures[:n+len(kept)]
}

func (l *level) countFailures() int {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	return len(l.failures)
}

// afterCommit keeps fn for after the commit. It reports false if that has been
// done, so that fn is to be called now.
func (l *level) afterCommit(fn func(context.Context)) bool {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	for l.released {
		l = l.parent
	}
	if !l.over.Load() {
		l.after = append(l.after, fn)
	}
	return !l.t.committed
}

// release commits a nested transaction: it becomes part of its parent.
func (l *level) release() error {
	if err := l.releasable(); err != nil {
		if errors.Is(err, errTxOver) {
			return err
		}
		return joinBehind(err, l.revert())
	}
	for _, b := range l.t.all() {
		if err := b.release(l); err != nil {
			l.t.doomWith(err)
			l.leave()
			return err
		}
	}
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.parent.after = append(l.parent.after, l.after...)
	l.released = true
	l.pop()
	return nil
}

// releasable returns why l cannot be released, or nil.
func (l *level) releasable() error {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	switch {
	case l.over.Load() && l.t.doom == nil:
		return errTxOver
	case l.child != nil:
		return &doomedError{cause: errStillOpen}
	}
	if err := l.refusal(); err != nil {
		return err
	}
	if err := l.ctx.Err(); err != nil {
		return fmt.Errorf("echobun: nested transaction rolled back: %w", err)
	}
	return nil
}

// revert rolls a nested transaction back, if it is open. Its failures are
// forgotten with what it did.
func (l *level) revert() error {
	l.t.mu.Lock()
	over := l.over.Load()
	if !over {
		l.close()
	}
	l.t.mu.Unlock()
	if over {
		return nil
	}

	var errs []error
	for _, b := range l.t.all() {
		if err := b.revert(l); err != nil {
			l.t.doomWith(err)
			errs = append(errs, err)
		}
	}
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.pop()
	return errors.Join(errs...)
}

// close makes l and what is open in it take no more statements. It needs t.mu.
func (l *level) close() {
	for ; l != nil; l = l.child {
		l.over.Store(true)
	}
}

// leave is pop for who does not have t.mu.
func (l *level) leave() {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.pop()
}

// pop takes l off the stack. It needs t.mu.
func (l *level) pop() {
	l.close()
	if l.parent.child == l {
		l.parent.child = nil
	}
}

// all returns the branches of the transaction.
func (t *transaction) all() []*branch {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.branches)
}

// doomWith dooms the whole transaction.
func (t *transaction) doomWith(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.doom == nil {
		t.doom = err
	}
}
