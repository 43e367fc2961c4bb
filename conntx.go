package echobun

import (
	"database/sql/driver"
	"errors"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

// tx is a driver's transaction.
type tx struct {
	inner driver.Tx
	c     *conn

	suspect *time.Timer // Of a leak.
}

func (t *tx) Commit() error {
	op := "COMMIT"
	if b := t.c.branch; b != nil && b.part != nil && b.part.Prepare {
		op = "PREPARE"
	}
	if t.c.hasEnded() {
		return t.end(op, t.inner.Rollback) // There is nothing to commit.
	}
	return t.end(op, t.inner.Commit)
}

func (t *tx) Rollback() error { return t.end("ROLLBACK", t.inner.Rollback) }

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
		t.c.inTx, t.c.readOnly, t.c.branch = false, false, nil
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
