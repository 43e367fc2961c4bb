package echobun

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

// tx is a driver's transaction.
type tx struct {
	inner driver.Tx
	c     *conn
	over  <-chan struct{} // Its context's. Nil in a session's, whose connection nobody else can reach.

	suspect *time.Timer // Of a leak.
	undone  bool        // Rolled back, of which database/sql does not know yet.
}

func (t *tx) Commit() error {
	op := "COMMIT"
	if b := t.c.branch; b != nil && b.part != nil && b.part.Prepare {
		op = "PREPARE"
	}
	if t.undone {
		return t.end(op, func() error { return errRollingBack })
	}
	if t.c.hasEnded() {
		return t.end(op, t.inner.Rollback) // There is nothing to commit.
	}
	return t.end(op, t.inner.Commit)
}

func (t *tx) Rollback() error {
	if t.undone {
		return t.end("ROLLBACK", func() error { return nil })
	}
	return t.end("ROLLBACK", t.inner.Rollback)
}

// rollBackNow is for a transaction whose context has ended, before database/sql
// has got to its ROLLBACK.
func (t *tx) rollBackNow() {
	if !t.undone {
		t.undone = true
		t.c.broken = t.inner.Rollback() != nil || t.c.broken
	}
}

func (t *tx) end(op string, how func() error) error {
	start := t.c.clock()
	ended := t.c.hasEnded()
	err := how()
	if ended {
		err = wire.OutcomeUnknown(errors.Join(errEnded, err))
	}
	t.c.timed(start, err)
	cleared(t.suspect)
	if t.c.inTx {
		t.c.inTx, t.c.readOnly, t.c.branch, t.c.tx = false, false, nil, nil
		t.c.e.pool.held.Add(-1)
		if t.c.app != nil {
			t.c.app.release()
			t.c.app = nil
		}
	}
	err = t.c.e.wrap(op, err)
	t.c.e.contact.heard(err)
	if err != nil && (op == "ROLLBACK" || errors.Is(err, ErrOutcomeUnknown)) {
		t.c.broken = true
	}
	return err
}

// errRollingBack matches [sql.ErrTxDone], which is what it is for a statement of
// the transaction's own.
var errRollingBack = fmt.Errorf("the transaction on this connection is about to be rolled back, since its context has ended; "+
	"until then the connection takes nothing else, so try again: %w", sql.ErrTxDone)

// mayWork returns why the connection cannot be used, or nil: it takes nothing
// but the ROLLBACK from the end of a transaction's context on. Database/sql
// sends that from a goroutine of its own, and who has pinned the connection
// can be faster: a BEGIN would have MySQL commit what has failed, and a
// statement would be undone though it was told as done. Nor can it be told from
// one of the transaction's that comes late, so it cannot wait.
func (c *conn) mayWork() error {
	if c.tx == nil {
		return nil
	}
	select {
	case <-c.tx.over:
		return errRollingBack
	default:
		return nil
	}
}

// clock and timed are the app context's in one of Bun's transactions, whose
// statements no session sees.
func (c *conn) clock() time.Time {
	if c.app == nil {
		return time.Time{}
	}
	return c.app.clock()
}

func (c *conn) timed(start time.Time, err error) {
	if c.app != nil && !errors.Is(err, driver.ErrSkip) { // That was not sent yet.
		c.app.timed(c.e, start)
	}
}
