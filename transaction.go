package echobun

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A transaction is a unit of work over all binds. It has a branch on each
// bind that was used, and a stack of levels: the transaction itself, and the
// nested ones that are open in it.
//
// It ends once, by commit or by rollback; abort is the rollback when a
// context ends. An atomic request's transaction is renewed then.
type transaction struct {
	app  *appContext
	ctx  context.Context //nolint:containedctx // Its end rolls back, until the commit begins.
	opts TxOptions
	root level
	id   string // Names a two-phase transaction, else empty.

	ending sync.Mutex  // Held from the beginning to the end of commit and rollback.
	stop   func() bool // Stops watching ctx; nil if that cannot end.

	mu        sync.Mutex // Protects what follows, and the levels' fields below theirs.
	over      bool
	opened    string      // The line that it comes from, if leaks are looked for.
	suspect   *time.Timer // Of a leak; nil before the first statement.
	used      bool        // There was a statement.
	committed bool        // On all binds.
	branches  []*branch   // In order of first use.
	doom      error       // Why nothing but a rollback is left.
	names     int         // How many savepoints have a name.

	last        *branch // Of a two-phase transaction: the one branch that cannot be prepared, and why.
	lastRefusal string
}

func newTransaction(ctx context.Context, s *Session, opts TxOptions) *transaction {
	t := &transaction{app: s.app, ctx: ctx, opts: opts}
	t.root.t = t
	t.root.session.app, t.root.session.level = s.app, &t.root
	if t.inTwoPhases() {
		t.id = newTxID()
	}
	t.ending.Lock()
	defer t.ending.Unlock()
	t.watch()
	return t
}

// watch has the end of the contexts roll back. It needs ending, for one may
// have ended already.
func (t *transaction) watch() {
	t.stop = nil
	if t.ctx.Done() != nil {
		t.stop = context.AfterFunc(t.ctx, func() { t.abort(t.ctx.Err()) })
	}
	t.app.opened(t)
}

// disarm stops watching. It reports false if a context has ended before.
func (t *transaction) disarm() bool {
	inTime := t.app.forget(t)
	if t.stop != nil && !t.stop() {
		inTime = false
	}
	return inTime
}

// run runs fn and ends the transaction.
func (t *transaction) run(ctx context.Context, fn func(context.Context, *Session) error) error {
	t.openedHere()
	returned := false
	defer func() {
		if !returned { // A panic or a Goexit goes on.
			t.app.x.logRollback(t.ctx, t.rollback())
		}
	}()
	err := fn(&txContext{Context: ctx, l: &t.root}, &t.root.session)
	returned = true
	if err != nil {
		cause := t.doomed()
		return joinBehind(closedBy(t.doomedBy(cutByDeadline(err, cause), cause), cause), t.rollback())
	}
	return t.commit(ctx)
}

// doomedBy makes a serialization failure that fn has hidden known to the retries.
func (t *transaction) doomedBy(err, cause error) error {
	if t.opts.Retries > 0 && isSerialization(cause) && !isSerialization(err) {
		return &hiddenError{error: err, cause: cause}
	}
	return err
}

// cutByDeadline gives the error of the deadline that has rolled the transaction back,
// where database/sql says of the rows that were cut that they were cancelled.
func cutByDeadline(err, cause error) error {
	if err == context.Canceled && errors.Is(cause, context.DeadlineExceeded) { //nolint:errorlint // A wrapped one says more.
		return cause
	}
	return err
}

// closedBy adds ErrClosed to the error of a function whose transaction Close has
// rolled back: what it was reading then says little.
func closedBy(err, cause error) error {
	if errors.Is(cause, ErrClosed) && !errors.Is(err, ErrClosed) {
		return errors.Join(ErrClosed, err)
	}
	return err
}

// doomed returns the failure that dooms the transaction, or nil.
func (t *transaction) doomed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause()
}

// cause is doomed for who holds mu.
func (t *transaction) cause() error {
	if t.doom != nil {
		return t.doom
	}
	return t.root.failure()
}

// abort rolls back because a context has ended.
func (t *transaction) abort(cause error) {
	t.mu.Lock()
	if !t.over {
		t.doom = cause
	}
	t.mu.Unlock()
	t.app.x.logRollback(t.ctx, t.rollback())
}

// rollback rolls back on all binds. If the transaction is over, it does
// nothing, but what has ended it is over too when rollback returns.
func (t *transaction) rollback() error {
	t.ending.Lock()
	defer t.ending.Unlock()
	branches, _, open := t.close()
	if !open {
		return nil
	}
	t.disarm()
	return rollbackAll(branches)
}

// commit commits on all binds and then calls what waits for it, with the
// values of ctx.
func (t *transaction) commit(ctx context.Context) error {
	after, err := t.end()
	if err != nil {
		return err
	}
	if len(after) > 0 {
		t.app.x.runAfterCommit(context.WithoutCancel(ctx), after...)
	}
	return nil
}

// end is the commit itself. It returns what is to be done after it.
func (t *transaction) end() ([]func(context.Context), error) {
	t.ending.Lock()
	defer t.ending.Unlock()
	inTime := t.disarm()
	refusal := t.refusal(inTime)
	branches, after, open := t.close()
	if !open {
		return nil, cmpError(refusal, errTxOver)
	}
	if refusal != nil {
		return nil, joinBehind(refusal, rollbackAll(branches))
	}
	branches = slices.DeleteFunc(branches, func(b *branch) bool { return !b.takesPart() })
	sortBranches(branches, t.opts.Order)
	how := commitAll
	if t.twoPhaseNeeded(branches) {
		how = t.commitTwoPhase
	}
	if err := how(branches); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed = true
	return after, nil
}

// refusal returns why the transaction cannot commit, or nil.
func (t *transaction) refusal(inTime bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over && t.doom != nil:
		return t.doomError()
	case t.over:
		return nil
	case !inTime && t.ctx.Err() != nil:
		return fmt.Errorf("echobun: transaction rolled back: %w", t.ctx.Err())
	case !inTime:
		return t.app.usable()
	case t.root.child != nil:
		return &doomedError{cause: errStillOpen}
	case t.app.x.closed.Load():
		return ErrClosed
	}
	return t.doomError()
}

// doomError returns the error of what is tried in a doomed transaction, or
// nil if it is not doomed. It needs mu.
func (t *transaction) doomError() error {
	cause := t.cause()
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, ErrNoAppContext), errors.Is(cause, ErrClosed):
		return cause
	}
	return &doomedError{cause: cause}
}

// close makes the transaction over. It returns its branches and what waits for
// its commit, and false if it was over already.
func (t *transaction) close() (branches []*branch, after []func(context.Context), open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil, nil, false
	}
	t.over = true
	cleared(t.suspect)
	t.root.close()
	branches, after = t.branches, t.root.after
	t.branches, t.root.after = nil, nil
	return branches, after, true
}

// renew makes the transaction of an atomic request a new one.
func (t *transaction) renew() {
	t.ending.Lock()
	defer t.ending.Unlock()
	t.mu.Lock()
	t.over, t.used, t.committed, t.doom, t.last = false, false, false, nil, nil
	t.opened, t.suspect = "", nil
	t.root.child, t.root.failures = nil, nil
	if t.id != "" {
		t.id = newTxID()
	}
	t.root.over.Store(false)
	t.mu.Unlock()
	t.watch()
}

// sortBranches sorts branches into the order in which they commit.
func sortBranches(branches []*branch, order []string) {
	rank := func(b *branch) int {
		if i := slices.Index(order, b.e.key); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(branches, func(a, b *branch) int { return rank(a) - rank(b) })
}

// isUsed reports whether there was a statement, or something waits for the
// commit.
func (t *transaction) isUsed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used || len(t.root.after) > 0
}

// uses reports whether e takes part.
func (t *transaction) uses(e *engine) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.branches, func(b *branch) bool { return b.e == e })
}

// rollbackAll rolls back on all branches. One that fails does not stop the
// others, nor does a query hook that panics.
func rollbackAll(branches []*branch) error {
	var errs []error
	for i, b := range branches {
		if err := b.rollbackBefore(branches[i+1:]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rollbackBefore rolls back b, and rest too if a hook panics.
func (b *branch) rollbackBefore(rest []*branch) error {
	returned := false
	defer func() {
		if !returned {
			_ = rollbackAll(rest)
		}
	}()
	err := b.rollback()
	returned = true
	return err
}

// logRollback logs the failure of a rollback that nobody can be told of.
func (x *Extension) logRollback(ctx context.Context, err error) {
	if err != nil {
		x.logger.WarnContext(context.WithoutCancel(ctx), "echobun: rollback failed, its connection is given up", "error", x.reason(err))
	}
}

// joinBehind returns err with what went wrong after it behind it.
func joinBehind(err, later error) error {
	if later == nil {
		return err
	}
	return errors.Join(err, later)
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

var (
	errTxOver    = fmt.Errorf("echobun: the transaction has already been committed or rolled back: %w", sql.ErrTxDone)
	errStillOpen = errors.New("a nested transaction, begun with Begin, is still open: commit it or roll it back first")
)

// doomedError is what ErrTxDoomed looks like.
type doomedError struct{ cause error }

func (e *doomedError) Error() string { return fmt.Sprintf("%v: %v", ErrTxDoomed, e.cause) }

func (e *doomedError) Is(target error) bool { return target == ErrTxDoomed }

func (e *doomedError) Unwrap() error { return e.cause }
