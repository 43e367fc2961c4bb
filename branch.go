package echobun

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/bridge"
	"github.com/echobun/echobun/internal/wire"
)

// A branch is a transaction's part on one bind. It begins with the first
// statement there.
type branch struct {
	bridge.Notes // Of the hooks that watch its statements.

	t *transaction
	e *engine

	mu     sync.Mutex  // Held while the branch begins, sets savepoints, or ends. Protects what follows.
	begun  atomic.Bool // Written by who holds mu.
	over   bool
	tx     bun.Tx          // Set once it has begun.
	conn   *bun.Conn       // Of tx, where the branch has to hold on to it; nil again when it is given back.
	cancel func()          // Forgets the context that tx lives on.
	late   <-chan struct{} // Closed when the driver has ended tx, if that takes too long.
	marks  []*level        // The nested levels that have a savepoint here, outermost first.

	// Of a two-phase transaction.
	part     *driver.Branch // Nil if the branch cannot be prepared.
	home     *engine        // Whose log the ID in part names.
	homeName string         // That log's name, as it is there.
	logErr   error          // Why the bind's log cannot be kept.
}

// ready begins the branch and sets the savepoints of l and the levels that it
// is in, as far as that is not done.
func (b *branch) ready(ctx context.Context, l *level) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return errTxOver
	}
	if !b.begun.Load() {
		start := b.t.app.clock()
		err := b.begin(b.claims(ctx, "BEGIN"))
		b.t.app.timed(b.e, start)
		if err != nil {
			return err
		}
		b.begun.Store(true)
	}
	return b.mark(ctx, l)
}

// begin begins the branch. Only BEGIN obeys ctx: the transaction outlives the
// context of its first statement.
func (b *branch) begin(ctx context.Context) error {
	own := &branchContext{Context: ctx, b: b} // Of each attempt: a connection may still be made with the last one's.
	if b.t.id != "" {
		return b.beginTwoPhase(own)
	}
	if b.e.owned {
		return b.beginOn(own, b.e.db)
	}
	return b.beginPinned(own)
}

// A beginner is a bun.DB or a bun.Conn.
type beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (bun.Tx, error)
}

func (b *branch) beginOn(ctx context.Context, db beginner) error {
	tx, cancel, err := b.e.beginDetached(ctx, context.Background(), db, b.t.opts.sqlOptions())
	if err != nil {
		return err
	}
	b.tx, b.cancel = tx, cancel
	return nil
}

// beginPinned begins on a connection that the branch keeps, so that it can be
// thrown away if it is left in an unknown state.
func (b *branch) beginPinned(ctx context.Context) error {
	conn, err := b.e.pinned(ctx)
	if err != nil {
		return err
	}
	defer b.unlessBegun(conn)
	if err := b.beginOn(ctx, conn); err != nil {
		return err
	}
	b.conn = &conn
	return nil
}

// unlessBegun gives a connection back that the branch has not begun on, also
// when a query hook panics.
func (b *branch) unlessBegun(conn bun.Conn) {
	if b.conn == nil {
		_ = conn.Close()
	}
}

// mark sets the savepoints that l needs.
func (b *branch) mark(ctx context.Context, l *level) error {
	if l.parent == nil || slices.Contains(b.marks, l) {
		return nil
	}
	if err := b.mark(ctx, l.parent); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, max(b.t.opts.commitTimeout()-hangUpLimit, afterLimit))
	defer cancel()
	if err := b.control(ctx, "SAVEPOINT "+l.name); err != nil {
		return b.e.wrap("SAVEPOINT", err)
	}
	b.marks = append(b.marks, l)
	return nil
}

// control sends a statement of the library's own in the transaction.
func (b *branch) control(ctx context.Context, query string) error {
	start := b.t.app.clock()
	_, err := b.tx.ExecContext(b.claims(ctx, query), query)
	b.t.app.timed(b.e, start)
	return err
}

// claims makes a statement the transaction's for the hooks, whatever context
// it is sent with.
func (b *branch) claims(ctx context.Context, query string) context.Context {
	return b.t.root.session.claims(ctx, b.e, query, b)
}

// release makes what l did here part of its parent.
func (b *branch) release(l *level) error {
	return b.unmark(l, "RELEASE SAVEPOINT "+l.name)
}

// revert rolls back what l did here. The savepoint is still there then, and
// would be in the way of the next one on PostgreSQL, where they nest.
func (b *branch) revert(l *level) error {
	return b.unmark(l, "ROLLBACK TO SAVEPOINT "+l.name, "RELEASE SAVEPOINT "+l.name)
}

// unmark ends the savepoints of l and those inside, whatever becomes of the
// context of who asks for it.
func (b *branch) unmark(l *level, statements ...string) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.marks, l)
	if i < 0 || b.over {
		return nil
	}
	b.marks = b.marks[:i]
	if b.t.isDoomed() {
		return nil // There are no savepoints any more, or they do not matter.
	}
	returned := false
	defer func() {
		if !returned {
			b.t.doomWith(errPanicked) // Nobody knows how far it got.
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), max(b.t.opts.commitTimeout()-hangUpLimit, afterLimit))
	defer cancel()
	for _, query := range statements {
		if err = b.control(ctx, query); err != nil {
			err = b.e.wrap(operation(query), err)
			break
		}
	}
	returned = true
	return err
}

// isDoomed reports whether the whole transaction can only roll back.
func (t *transaction) isDoomed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doom != nil
}

// takesPart reports whether the branch has begun by the time of the commit. If
// not, it never will: nobody would end it.
func (b *branch) takesPart() bool {
	b.mu.Lock() // It may be about to.
	defer b.mu.Unlock()
	begun := b.begun.Load()
	b.over = !begun
	return begun
}

// unknownCommit gives the error of a COMMIT that the server has not sent the
// class that it has. Whose driver is not ours is not asked.
func (e *engine) unknownCommit(err error) error {
	if err == nil {
		return nil
	}
	bindErr := &BindError{Bind: e.key, Op: "COMMIT", Err: err, class: e.classify(err)}
	var netErr net.Error
	switch {
	case !e.owned && bindErr.class&driver.Unavailable != 0:
		bindErr.class |= driver.OutcomeUnknown // Its driver does not say whether it was the answer that was lost.
	case errors.Is(err, sqldriver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr):
		bindErr.class |= driver.OutcomeUnknown
	}
	return bindErr
}

// pinned returns a connection of the engine's pool.
func (e *engine) pinned(ctx context.Context) (bun.Conn, error) {
	ctx, w := e.pool.enter(ctx)
	conn, err := e.db.Conn(ctx)
	e.pool.leave(w)
	w.release()
	if err != nil {
		return bun.Conn{}, e.statementError(w, "BEGIN", err)
	}
	return conn, nil
}

// branchContext tells a connection, and its driver, which branch it begins a
// transaction for.
type branchContext struct {
	context.Context //nolint:containedctx // It is a context itself.

	b *branch
}

type branchKey struct{}

func (c *branchContext) Value(key any) any {
	switch key {
	case branchKey{}, bridge.TxKey{}:
		return c.b
	case wire.CommitTimeoutKey{}:
		return c.b.t.opts.CommitTimeout
	case wire.BranchKey{}:
		return c.b.part
	case wire.UnitKey{}:
		return c.b.t
	}
	return c.Context.Value(key)
}

// branchOf returns the branch that a BeginTx is called for, or nil.
func branchOf(ctx context.Context) *branch {
	b, _ := ctx.Value(branchKey{}).(*branch)
	return b
}

// failed is told by the branch's connection of each statement that fails, by
// whatever way it came.
func (b *branch) failed(err error) {
	if b != nil {
		b.t.root.failed(b, err)
	}
}
