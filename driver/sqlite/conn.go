package sqlite

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun/internal/wire"
)

// rawConn is what a connection of modernc.org/sqlite can do.
type rawConn interface {
	sqldriver.Conn
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.Pinger
	sqldriver.SessionResetter
	sqldriver.Validator
	modernc.HookRegisterer
	Exec(query string, args []sqldriver.Value) (sqldriver.Result, error)
	IsReadOnly(schema string) (bool, error)
}

var (
	_ sqldriver.ConnBeginTx        = (*conn)(nil)
	_ sqldriver.ConnPrepareContext = (*conn)(nil)
	_ sqldriver.ExecerContext      = (*conn)(nil)
	_ sqldriver.QueryerContext     = (*conn)(nil)
	_ sqldriver.Pinger             = (*conn)(nil)
	_ sqldriver.NamedValueChecker  = (*conn)(nil)
	_ sqldriver.SessionResetter    = (*conn)(nil)
	_ sqldriver.Validator          = (*conn)(nil)
	_ wire.TransactionTeller       = (*conn)(nil)
)

// conn is a connection that waits its turn to write, and that knows whether it
// is in a transaction. database/sql uses it from one goroutine at a time.
type conn struct {
	raw  rawConn
	n    *connector
	gate *gate
	in   interrupter

	wal       bool // The file is in WAL mode, where COMMIT waits for nobody.
	queryOnly bool
	broken    bool // Of no more use.
	changed   bool // A statement has left something behind: a PRAGMA, a temporary table.

	inside     bool  // In a transaction.
	managed    bool  // It was begun by BeginTx, not by a statement.
	immediate  bool  // BeginTx has begun it with the lock of a writer.
	locked     bool  // The gate is ours.
	unit       any   // The transaction over several databases that it is in, or nil.
	upgrading  bool  // It takes the gate now.
	rolledBack bool  // Set by SQLite when it rolls a transaction back.
	committed  bool  // Set by SQLite when it commits what was written.
	lost       error // Why the transaction is gone though nobody has ended it.
}

// Unwrap returns the connection of modernc.org/sqlite, for its own methods:
// backup, serialization, hooks. What is done there does not wait its turn.
func (c *conn) Unwrap() sqldriver.Conn { return c.raw }

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	v := verbOf(query)
	if done, err := c.endLost(v); done {
		return sqldriver.ResultNoRows, err
	}
	var result sqldriver.Result
	err := c.run(ctx, v, func(inner context.Context) (err error) {
		result, err = c.raw.ExecContext(inner, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// QueryContext runs a query.
func (c *conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	v := verbOf(query)
	if done, err := c.endLost(v); done {
		return &bufferedRows{}, err
	}
	return c.query(ctx, v, extremes{c: c, query: query, args: args}, func(inner context.Context) (sqldriver.Rows, error) {
		return c.raw.QueryContext(inner, query, args)
	})
}

// Prepare prepares a statement.
func (c *conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	s := &stmt{c: c, query: query, verb: verbOf(query)}
	err := c.run(ctx, s.verb&hasNUL, func(inner context.Context) (err error) {
		s.raw, err = prepare(inner, c.raw, query)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Ping looks whether the connection is alive, without waiting for anybody.
func (c *conn) Ping(ctx context.Context) error {
	return c.n.where.name(c.raw.Ping(ctx))
}

// ResetSession refuses a connection that was not given back clean.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.clean() {
		return sqldriver.ErrBadConn
	}
	return c.raw.ResetSession(ctx)
}

// IsValid is asked when a connection comes back to the pool. One that is still
// in a transaction must not go to the next borrower, whose writes would be
// lost with it; nor must one that somebody has changed.
func (c *conn) IsValid() bool { return c.clean() && c.raw.IsValid() }

func (c *conn) clean() bool { return !c.inside && !c.broken && !c.changed }

// Close rolls back what is open and closes the connection.
func (c *conn) Close() error {
	if c.inside && c.lost == nil {
		c.roll()
	}
	c.raw.RegisterRollbackHook(nil)
	c.raw.RegisterCommitHook(nil)
	err := c.raw.Close()
	c.unlock()
	c.in.handle.close()
	c.in.handle = nil
	return c.n.where.name(err)
}

// run does one call into SQLite: it waits for its turn if it needs one, stops
// when ctx ends, and then looks at what has become of the transaction.
func (c *conn) run(ctx context.Context, v verb, call func(context.Context) error) error {
	limit, err := c.enter(ctx, v)
	if err != nil {
		return err
	}
	w := c.in.watch(ctx, nil)
	defer w.close()
	return c.leave(v, c.attempt(ctx, v, limit, w, call)) //nolint:contextcheck // The call is done: the end of ctx must not stop the look at what it has changed.
}

// attempt does one call into SQLite under a watch.
func (c *conn) attempt(ctx context.Context, v verb, limit time.Duration, w *watch, call func(context.Context) error) error {
	inner := c.in.inner(ctx)
	once := func() error {
		if err := w.enter(); err != nil {
			return err
		}
		return w.leave(call(inner))
	}
	if (w != nil || limit != c.n.set.busyTimeout) && c.mayBeRefused(v) {
		return c.patiently(ctx, limit, once)
	}
	return once()
}

// mayBeRefused reports whether somebody else's lock can be in the way of a
// single statement. A transaction that did not begin DEFERRED has the lock; one
// that only reads did.
func (c *conn) mayBeRefused(v verb) bool {
	if c.n.where.memory || v&script != 0 {
		return false
	}
	if c.immediate {
		return false
	}
	return v&writes != 0 || !c.wal
}

// enter waits for the gate if the verb needs it. It returns how long the call
// may then wait for other processes.
func (c *conn) enter(ctx context.Context, v verb) (time.Duration, error) {
	if c.lost != nil {
		return 0, c.lost
	}
	if v&hasNUL != 0 {
		return 0, errNUL
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if v&lingers != 0 && !wire.OwnSession(ctx) {
		c.changed = true
	}
	if c.locked || v&writes == 0 && !c.n.where.memory {
		return c.n.set.busyTimeout, nil
	}
	c.upgrading = c.inside
	return c.lock(ctx)
}

// lock takes the gate. It returns what is left of the time for waiting.
func (c *conn) lock(ctx context.Context) (time.Duration, error) {
	limit := c.limit(ctx)
	if !c.wal && c.in.handle.reading() {
		limit = 0 // The COMMIT of who is through waits for our end.
	}
	waited, err := c.gate.lock(ctx, limit, c.unit)
	if err != nil {
		return 0, &lockError{where: c.n.where, waited: waited, cause: err}
	}
	c.locked = true
	return limit - waited, nil
}

func (c *conn) unlock() {
	if c.locked {
		c.locked = false
		c.gate.unlock()
	}
}

// leave finds out what has become of the transaction, and lets the next writer
// through outside of one.
func (c *conn) leave(v verb, err error) error {
	err = c.n.where.name(err)
	c.broken = c.broken || err != nil && !c.queryOnly && outlives(err)
	if c.upgrading && isBusy(err) {
		c.unlock() // It may only read on, which is no reason to keep others from writing.
	}
	c.upgrading = false
	if v&lingers != 0 && err == nil && !c.n.where.memory {
		c.wal = c.inWAL() // It may have been a PRAGMA journal_mode.
	}
	rolledBack, committed := c.rolledBack, c.committed
	c.rolledBack, c.committed = false, false
	switch {
	case c.lost != nil:
	case c.managed && (committed || v&ends != 0 && (rolledBack || !c.insideNow())):
		c.lost = &lostError{cause: errEnded}
		if c.insideNow() {
			c.roll() // Another one, which a script has begun.
		}
	case rolledBack && v&rolls == 0 && (c.inside || v&begins != 0):
		c.inside = true // Until it is ended, so that nothing is written outside of it.
		c.lost = &lostError{cause: cmp.Or(err, errRolledBack)}
		return c.lost
	case !c.managed && v&controls != 0:
		c.inside = c.insideNow()
	}
	if !c.inside {
		c.unlock()
	}
	return err
}

// InTransaction reports whether the transaction that BeginTx has begun is the one
// that the connection is in, or SQLite has rolled that back: neither a COMMIT nor
// a ROLLBACK of the user's has ended it.
func (c *conn) InTransaction() bool {
	lost, _ := asType[*lostError](c.lost)
	return c.inside && (lost == nil || !errors.Is(lost, errEnded))
}

// insideNow asks SQLite whether it is in a transaction: only outside of one
// can one be begun.
func (c *conn) insideNow() bool {
	if _, err := c.raw.Exec("BEGIN", nil); err != nil {
		return true
	}
	if _, err := c.raw.Exec("COMMIT", nil); err != nil {
		c.broken = true
	}
	return false
}

// endLost ends a transaction of the user's own that SQLite has rolled back
// already: there is nothing left to send. It reports whether it did so.
func (c *conn) endLost(v verb) (bool, error) {
	if c.lost == nil || c.managed || v != commits && v != rolls {
		return false, nil
	}
	lost := c.lost
	c.forget()
	if v == commits {
		return true, lost
	}
	return true, nil
}

// forget is the end of a transaction.
func (c *conn) forget() {
	c.inside, c.managed, c.immediate, c.rolledBack, c.committed, c.lost = false, false, false, false, false, nil
	c.unit = nil
	c.unlock()
}
