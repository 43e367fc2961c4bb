package echobun

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// This file is what a branch does in a two-phase transaction.

// beginTwoPhase begins the branch so that it can be prepared, or as the one
// that need not be.
func (b *branch) beginTwoPhase(ctx context.Context) error {
	opening, cancel := context.WithTimeout(ctx, max(b.t.opts.commitTimeout()-hangUpLimit, afterLimit))
	b.logErr = b.e.commits.open(opening)
	cancel()

	tp := b.e.twoPhase()
	if tp == nil {
		return b.beginLast(ctx, "its driver cannot")
	}
	conn, err := b.e.pinned(ctx)
	if err != nil {
		return err
	}
	defer b.unlessBegun(conn)
	return b.beginPreparable(ctx, tp, conn)
}

// beginPreparable begins on conn, if its server can prepare transactions.
func (b *branch) beginPreparable(ctx context.Context, tp driver.TwoPhase, conn bun.Conn) error {
	refusal, err := b.e.cannotPrepare(ctx, tp, conn)
	if err != nil {
		return b.e.wrap("BEGIN", err)
	}
	if refusal != "" {
		return b.beginLast(ctx, refusal)
	}
	b.home = b.t.designate(b)
	b.homeName = b.home.commits.home()
	b.part = &driver.Branch{ID: b.t.xid(b, b.homeName)}
	if err := b.beginOn(ctx, conn); err != nil {
		return err
	}
	b.conn = &conn
	return nil
}

// beginLast begins the branch that commits in one phase. There can be one.
func (b *branch) beginLast(ctx context.Context, refusal string) error {
	if err := b.t.claimLast(b, refusal); err != nil {
		return &BindError{Bind: b.e.key, Op: "BEGIN", Err: err}
	}
	how := b.beginPinned
	if b.e.owned {
		how = func(ctx context.Context) error { return b.beginOn(ctx, b.e.db) }
	}
	err := errPanicked // Unless how returns.
	defer func() {
		if err != nil {
			b.t.disclaimLast(b)
		}
	}()
	err = how(ctx)
	return err
}

// claimLast makes b the one branch that is not prepared.
func (t *transaction) claimLast(b *branch, refusal string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && t.last != b {
		return fmt.Errorf("%w: %s cannot prepare transactions (%s), and %s, which cannot either (%s), takes part already: only one such bind may",
			ErrTwoPhase, bindName(b.e.key), refusal, bindName(t.last.e.key), t.lastRefusal)
	}
	t.last, t.lastRefusal = b, refusal
	return nil
}

// disclaimLast takes the claim of a branch back that could not begin.
func (t *transaction) disclaimLast(b *branch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == b {
		t.last, t.lastRefusal = nil, ""
	}
}

// designate returns the engine that will have the decision, as far as can be
// told now, and if its log can be kept: b's own, if there is no other.
func (t *transaction) designate(b *branch) *engine {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.last != nil && t.last.logErr == nil:
		return t.last.e
	case t.over:
		return b.e // The context has ended meanwhile, and b will not be used.
	}
	// One that could not begin may have no log either.
	branches := slices.DeleteFunc(slices.Clone(t.branches), func(other *branch) bool {
		return other != b && (!other.begun.Load() || other.logErr != nil)
	})
	sortBranches(branches, t.opts.Order)
	return branches[0].e
}

// twoPhase returns the engine's driver if it can prepare transactions.
func (e *engine) twoPhase() driver.TwoPhase {
	if !e.owned {
		return nil // Its connections are not the driver's.
	}
	tp, _ := e.drv.(driver.TwoPhase)
	return tp
}

// cannotPrepare returns why the server cannot prepare transactions. That it
// can is remembered.
func (e *engine) cannotPrepare(ctx context.Context, tp driver.TwoPhase, conn bun.Conn) (refusal string, err error) {
	if e.canPrepare.Load() {
		return "", nil
	}
	refusal, err = tp.CanPrepare(ctx, conn)
	if err == nil && refusal == "" {
		e.canPrepare.Store(true)
	}
	return refusal, err
}

// execArgs sends a statement of the library's own in the branch's transaction,
// with its arguments apart: Bun would write them into the text. It only shows
// the statement to the query hooks, as the query.
func (b *branch) execArgs(ctx context.Context, query, sent string, args []any) (sql.Result, error) {
	start := b.t.app.clock()
	res, err := b.tx.NewRaw(query, args...).Conn(withArgs{b.tx.Tx, sent, args}).Exec(b.claims(ctx, query))
	b.t.app.timed(b.e, start)
	return res, err
}

// withArgs is what sends the statement that it has in place of Bun's.
type withArgs struct {
	bun.IConn

	query string
	args  []any
}

// ExecContext sends it.
func (w withArgs) ExecContext(ctx context.Context, _ string, _ ...any) (sql.Result, error) {
	return w.IConn.ExecContext(ctx, w.query, w.args...)
}

// prepare prepares the branch.
func (b *branch) prepare() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.part.Prepare = true
	start := b.t.app.clock()
	err := b.e.wrap("PREPARE", b.tx.Commit())
	b.t.app.timed(b.e, start)
	b.cancel()
	return err
}

// commitPrepared commits the branch after it was prepared.
func (b *branch) commitPrepared(ctx context.Context) error {
	return b.finish(ctx, "COMMIT PREPARED", driver.TwoPhase.CommitPrepared)
}

// rollbackPrepared rolls the branch back, though it may not have been prepared.
func (b *branch) rollbackPrepared(ctx context.Context) error {
	return b.finish(ctx, "ROLLBACK PREPARED", driver.TwoPhase.RollbackPrepared)
}

// A finisher is CommitPrepared or RollbackPrepared.
type finisher func(tp driver.TwoPhase, ctx context.Context, conn bun.Conn, id string) error

// finish ends the prepared branch on its own connection, or on another one if
// that is lost.
func (b *branch) finish(ctx context.Context, op string, how finisher) error {
	ctx = b.t.root.session.claims(ctx, b.e, op, nil) // After its transaction, for hooks.
	start := b.t.app.clock()
	err := how(b.e.twoPhase(), ctx, *b.conn, b.part.ID)
	b.t.app.timed(b.e, start)
	giveBack(b.conn, err)
	b.conn = nil
	if err == nil || errors.Is(err, driver.ErrNotPrepared) || ctx.Err() != nil {
		return err
	}
	conn, pinErr := b.e.pinned(ctx)
	if pinErr != nil {
		return b.e.wrap(op, err)
	}
	return b.e.wrap(op, b.finishOn(ctx, conn, how))
}

// finishOn is finish on another connection. MySQL knows nothing of the branch
// there as long as it has not noticed that its own is lost: only what is not
// prepared any more has been finished, by somebody who recovers.
func (b *branch) finishOn(ctx context.Context, conn bun.Conn, how finisher) (err error) {
	tp := b.e.twoPhase()
	err = errPanicked // Unless how returns.
	defer func() { giveBack(&conn, err) }()
	err = how(tp, ctx, conn, b.part.ID)
	if errors.Is(err, driver.ErrNotPrepared) {
		if ids, listErr := tp.Prepared(ctx, conn); listErr != nil || slices.Contains(ids, b.part.ID) {
			err = errHeld
		}
	}
	return err
}

var errHeld = errors.New("it belongs to a connection that is still open")

// giveUp gives the connection of a prepared branch up, which stays prepared.
func (b *branch) giveUp() {
	giveBack(b.conn, ErrOutcomeUnknown)
	b.conn = nil
}
