package echobun

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/echobun/echobun/internal/rowlock"
	"github.com/echobun/echobun/internal/wire"
)

// This file stands between database/sql and the connections of a driver. It
// is where every error becomes a *BindError, whoever sent the statement; where
// OnConnect runs; and where the pool learns who holds a connection.

// connector opens the connections of an engine.
type connector struct {
	e     *engine
	inner driver.Connector
	opts  EngineOptions

	refusal refusal
}

var (
	_ driver.Connector = (*connector)(nil)
	_ io.Closer        = (*connector)(nil)
)

// lifetime is how long a connection may live; zero means no limit.
func (c *connector) lifetime() time.Duration { return max(c.opts.ConnMaxLifetime, 0) }

// Connect opens a connection and runs OnConnect on it, all within ConnectTimeout.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.e.pool.arrive(ctx); err != nil {
		return nil, c.e.wrap("connect", err)
	}
	if c.opts.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.ConnectTimeout)
		defer cancel()
	}
	if i := c.e.isolation.Load(); i != nil {
		return c.opened(ctx, func(ctx context.Context) (driver.Conn, error) { return i.connect(ctx, c.open) })
	}
	return c.opened(ctx, func(ctx context.Context) (driver.Conn, error) { return c.open(ctx) })
}

// open opens a connection to the database. It is closed again if not all of
// OnConnect returns: a statement may call functions of the application's.
func (c *connector) open(ctx context.Context) (*conn, error) {
	era := c.e.era.Load() // One that begins meanwhile may be for this connection's server.
	inner, err := c.connect(ctx)
	if err != nil {
		return nil, c.unanswered(opConnect, outOfTime(ctx, err))
	}
	returned := false
	defer func() {
		if !returned {
			_ = inner.Close()
		}
	}()
	dc := newConn(c.e, inner)
	dc.era = era
	ctx = wire.WithOwnSession(ctx)
	for _, query := range c.opts.OnConnect {
		if err := dc.prepareSession(ctx, query); err != nil {
			return nil, c.unanswered(opOnConnect+operation(query), err)
		}
	}
	c.e.contact.answered()
	returned = true
	return dc, nil
}

// unanswered wraps why a connection could not be opened, and has those who wait
// for one know.
func (c *connector) unanswered(op string, err error) error {
	bindErr := c.e.connectError(op, err)
	c.e.contact.unanswered(bindErr)
	return bindErr
}

// connect has the driver connect, if its server has not just refused that.
func (c *connector) connect(ctx context.Context) (driver.Conn, error) {
	if err := c.refusal.recent(); err != nil {
		return nil, err
	}
	inner, err := c.inner.Connect(ctx)
	if ctx.Err() == nil { // Else it may speak of this caller's.
		c.refusal.note(err)
	}
	return inner, err
}

// What fails when a connection is opened.
const (
	opConnect   = "connect"
	opOnConnect = "OnConnect " // And the statement.
)

// outOfTime makes the error of a dialer whose clock was ahead of its context's
// look like the context's.
func outOfTime(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	if !ok || time.Now().Before(deadline) || !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
}

// Driver returns the driver's own.
func (c *connector) Driver() driver.Driver { return c.inner.Driver() }

// Close closes the driver's connector, where it can be closed.
func (c *connector) Close() error {
	if closer, ok := c.inner.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// conn is a driver's connection. Like every [driver.Conn] it is used by one
// goroutine at a time.
type conn struct {
	driver.Conn

	e       *engine
	execer  driver.ExecerContext // Nil if the driver's connection is none; so below.
	queryer driver.QueryerContext
	beginer driver.ConnBeginTx
	prep    driver.ConnPrepareContext
	checker driver.NamedValueChecker
	pinger  driver.Pinger
	reset   driver.SessionResetter
	valid   driver.Validator
	teller  wire.TransactionTeller

	isolation *isolation // That was on when the connection was made; see [isolation].

	era int64 // Of the engine when the connection was begun.

	tx       *tx         // The transaction that is open, if it is not a session's.
	inTx     bool        // A transaction holds the connection, so its rows do not count.
	readOnly bool        // It only reads, as it was asked to.
	branch   *branch     // The transaction, if it is a session's.
	app      *appContext // The transaction lives on it, if it is one of Bun's from a session.
	broken   bool        // Of no more use: nobody knows what state it is in.
	closed   bool        // The driver's connection is.
	spare    *rows       // For the next query, so that it need not be allocated.

	open  int           // How many rows there are.
	watch rowlock.Watch // Over them.
}

var (
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

func newConn(e *engine, inner driver.Conn) *conn {
	c := &conn{Conn: inner, e: e}
	c.execer, _ = inner.(driver.ExecerContext)
	c.queryer, _ = inner.(driver.QueryerContext)
	c.beginer, _ = inner.(driver.ConnBeginTx)
	c.prep, _ = inner.(driver.ConnPrepareContext)
	c.checker, _ = inner.(driver.NamedValueChecker)
	c.pinger, _ = inner.(driver.Pinger)
	c.reset, _ = inner.(driver.SessionResetter)
	c.valid, _ = inner.(driver.Validator)
	c.teller, _ = inner.(wire.TransactionTeller)
	return c
}

// Unwrap returns the driver package's connection, for [sql.Conn.Raw].
func (c *conn) Unwrap() driver.Conn {
	if c.mayWork() != nil {
		c.tx.rollBackNow() // What is done beneath cannot be refused.
	}
	return c.Conn
}

// prepareSession runs one statement of OnConnect.
func (c *conn) prepareSession(ctx context.Context, query string) error {
	if c.execer != nil {
		_, err := c.execer.ExecContext(ctx, query, nil)
		if !errors.Is(err, driver.ErrSkip) {
			return err
		}
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	_, err = execStmt(ctx, s, nil)
	return err
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	if c.execer == nil {
		return nil, driver.ErrSkip
	}
	returned := false
	defer c.caught(query, &returned, &err)
	res, err = c.exec(ctx, query, args)
	returned = true
	return res, err
}

func (c *conn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.e.pool.arrive(ctx); err != nil {
		return nil, err
	}
	if err := cmpError(c.mayWork(), c.mayRun(query)); err != nil {
		return nil, c.refused(operation(query), err)
	}
	start := c.clock()
	res, err := c.execer.ExecContext(ctx, query, args)
	c.timed(start, err)
	if err != nil {
		return nil, c.failed(ctx, operation(query), err)
	}
	c.e.contact.answered()
	return res, nil
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if c.queryer == nil {
		return nil, driver.ErrSkip
	}
	returned := false
	defer c.caught(query, &returned, &err)
	rows, err = c.query(ctx, query, args)
	returned = true
	return rows, err
}

func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.e.pool.arrive(ctx); err != nil {
		return nil, err
	}
	if err := cmpError(c.mayWork(), c.mayRun(query)); err != nil {
		return nil, c.refused(operation(query), err)
	}
	start := c.clock()
	inner, err := c.queryer.QueryContext(ctx, query, args)
	c.timed(start, err)
	if err != nil {
		return nil, c.failed(ctx, operation(query), err)
	}
	c.e.contact.answered()
	return c.answer(ctx, query, inner)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.e.pool.arrive(ctx); err != nil {
		return nil, err
	}
	if err := cmpError(c.mayWork(), c.mayRun(query)); err != nil {
		return nil, c.refused(operation(query), err)
	}
	inner, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.failed(ctx, operation(query), err)
	}
	return &stmt{Stmt: inner, c: c, query: query}, nil
}

func (c *conn) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	if c.prep != nil {
		return c.prep.PrepareContext(ctx, query)
	}
	return c.Prepare(query)
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.e.pool.arrive(ctx); err != nil {
		return nil, err
	}
	if err := c.mayWork(); err != nil {
		return nil, c.refused("BEGIN", err)
	}
	inner, err := c.begin(ctx, opts)
	if err != nil {
		return nil, c.failed(ctx, "BEGIN", err)
	}
	c.e.contact.answered()
	c.inTx, c.readOnly, c.branch = true, opts.ReadOnly, branchOf(ctx)
	c.e.pool.held.Add(1)
	t := &tx{inner: inner, c: c}
	if c.branch == nil { // A session's transaction is suspected as a whole.
		t.over, c.tx = ctx.Done(), t
		t.suspect = c.e.suspect("transaction")
		if c.app = c.e.lifeOf(ctx); c.app != nil {
			c.app.hold()
		}
	}
	return t, nil
}

func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.beginer != nil {
		return c.beginer.BeginTx(ctx, opts)
	}
	if opts.Isolation != 0 || opts.ReadOnly {
		return nil, fmt.Errorf("driver %T supports no transaction options", c.Conn)
	}
	return c.Conn.Begin() //nolint:staticcheck // The one way of a driver without BeginTx.
}

func (c *conn) Ping(ctx context.Context) error {
	if err := c.e.pool.arrive(ctx); err != nil {
		return err
	}
	if err := c.mayWork(); err != nil {
		return c.refused("ping", err)
	}
	if c.pinger == nil {
		return nil
	}
	err := c.pinger.Ping(ctx)
	if err == nil {
		c.e.contact.answered()
	}
	return c.failed(ctx, "ping", err)
}

func (c *conn) ResetSession(ctx context.Context) error {
	if err := c.e.pool.arrive(ctx); err != nil {
		return err
	}
	if !c.current() {
		c.e.pool.again(ctx)
		return driver.ErrBadConn
	}
	if c.reset == nil {
		return nil
	}
	err := c.reset.ResetSession(ctx)
	if errors.Is(err, driver.ErrBadConn) {
		c.e.pool.again(ctx)
	}
	return err
}

// failed wraps the error of what was done for ctx. If database/sql will do it
// again on another connection, ctx may have to wait again.
func (c *conn) failed(ctx context.Context, op string, err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		c.e.pool.again(ctx)
	}
	return c.refused(op, err)
}

// refused wraps the error of a statement, and lets the transaction that the
// connection is in know of it.
func (c *conn) refused(op string, err error) error {
	err = c.e.wrap(op, err)
	var bindErr *BindError
	if !errors.As(err, &bindErr) {
		return err
	}
	c.demoted(bindErr)
	c.e.contact.heard(bindErr)
	if c.branch != nil {
		c.branch.failed(bindErr)
	}
	return err
}

func (c *conn) IsValid() bool {
	return !c.broken && c.current() && (c.valid == nil || c.valid.IsValid())
}
