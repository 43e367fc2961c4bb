package echobun

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"runtime"
	"time"

	"github.com/uptrace/bun"
)

// This file ends a branch in one phase, and gives its connection back whatever
// the driver and the query hooks do meanwhile.

// commit commits the branch.
func (b *branch) commit() error {
	return b.end("COMMIT", func() error {
		if b.e.owned {
			return b.tx.Commit()
		}
		return b.e.unknownCommit(b.inTime(b.tx.Commit))
	})
}

// rollback rolls the branch back. A transaction that is gone already is no error.
func (b *branch) rollback() error {
	return b.end("ROLLBACK", func() error {
		err := b.inTime(b.tx.Rollback)
		if errors.Is(err, sql.ErrTxDone) {
			return nil
		}
		return err
	})
}

// end ends the branch by how and gives its connection back, or throws it away
// if how failed: nobody knows then what state it is in.
func (b *branch) end(op string, how func() error) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || !b.begun.Load() {
		b.over = true
		return nil
	}
	b.over = true
	start := b.t.app.clock()
	err = errPanicked // Unless how returns.
	defer func() {
		b.t.app.timed(b.e, start)
		b.letGo(err)
	}()
	err = b.e.wrap(op, how())
	return err
}

// letGo gives the connection of a branch back that has ended, as far as it
// has: a query hook that panicked may have kept the end from the database.
func (b *branch) letGo(err error) {
	if errors.Is(err, errPanicked) {
		_ = b.inTime(b.tx.Tx.Rollback) // Which does nothing if it has ended.
	}
	b.cancel()
	conn := b.conn
	b.conn = nil
	switch {
	case conn == nil:
	case b.late == nil:
		giveBack(conn, err)
	default:
		go func(late <-chan struct{}) {
			<-late
			giveBack(conn, err)
		}(b.late)
	}
}

// discard ends a branch after a query hook has panicked. What is prepared
// stays so, for recovery to find.
func (b *branch) discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begun.Load() && (!b.over || b.conn != nil) {
		b.over = true
		b.letGo(errPanicked)
	}
}

// giveBack returns a pinned connection to its pool, or closes it if there was an error.
func giveBack(conn *bun.Conn, err error) {
	if err != nil {
		_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
	_ = conn.Close()
}

// inTime runs what ends the transaction. Its time limit is the driver's
// affair; on an engine of the user's own it is kept here. What takes longer
// goes on alone, and keeps its connection as long.
func (b *branch) inTime(end func() error) error {
	if b.e.owned {
		return end()
	}
	c := &call{done: make(chan struct{})}
	go c.run(end)
	timer := time.NewTimer(b.t.opts.commitTimeout())
	defer timer.Stop()
	select {
	case <-c.done:
		return c.result()
	case <-timer.C:
		b.late = c.done
		return context.DeadlineExceeded
	}
}

// A call is a function that runs on a goroutine of its own.
type call struct {
	done     chan struct{}
	returned bool
	panicked any
	err      error
}

func (c *call) run(f func() error) {
	defer close(c.done)
	defer func() {
		if !c.returned {
			c.panicked = recover()
		}
	}()
	c.err = f()
	c.returned = true
}

// result ends as the function has ended: with its error, its panic or its Goexit.
func (c *call) result() error {
	switch {
	case c.panicked != nil:
		panic(c.panicked)
	case !c.returned:
		runtime.Goexit()
	}
	return c.err
}
