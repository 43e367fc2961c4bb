package pgx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/echobun/echobun/internal/wire"
)

const (
	statusIdle = 'I' // Transaction status outside of any transaction.
	statusInTx = 'T' // In one that can go on.

	// pingAfter is how long a connection may be idle until its next use begins
	// with a ping. It finds what a look at the socket cannot, such as a
	// firewall that forgot the connection.
	pingAfter = time.Second

	// lookAfter is the same for a look at the socket, a system call: a busy
	// connection does without.
	lookAfter = time.Millisecond

	// farewell bounds the last message to the server on a connection that is
	// given up.
	farewell = 100 * time.Millisecond
)

// stdConn has another name, so that embedding it does not hide its method Conn.
type stdConn = stdlib.Conn

// A conn is one connection. Unlike the pgx connection inside, it never lets
// database/sql repeat a statement that the server may have got.
//
// As all of [database/sql/driver], it is used by one goroutine at a time.
type conn struct {
	*stdConn

	pg        *jackc.Conn
	pgc       *pgconn.PgConn
	connector *connector
	functions xidFunctions
	canceller *canceller
	socket    *socket
	used      time.Time // When the pool last handed it out.
	session   session
	spare     *rows // For the next query, so that it need not be allocated.
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

// newConn returns nil for a connection of another configuration than this
// package makes.
func newConn(std *stdlib.Conn) *conn {
	pgc := std.Conn().PgConn()
	canceller, ok := pgc.CustomData()[cancellerKey].(*canceller)
	if !ok {
		return nil
	}
	learnTimeout(pgc)
	readInUTC(std.Conn().TypeMap())
	return &conn{
		stdConn: std, pg: std.Conn(), pgc: pgc, canceller: canceller,
		socket: newSocket(pgc.Conn()), used: time.Now(),
	}
}

// ExecContext sends a statement and waits for its end.
func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	c.note(ctx, query)
	s := statement{query: query, inTx: c.inTx()}
	// Not through stdConn, which answers any error that pgx takes for safe to
	// retry with ErrBadConn, and pgx takes lost replies for safe.
	values := plainValues(args)
	tag, err := c.pg.Exec(ctx, query, values...)
	for err != nil && c.runsAgain(ctx, s, err) {
		tag, err = c.pg.Exec(ctx, query, values...)
	}
	if err != nil {
		return nil, c.failed(ctx, s, err)
	}
	return sqldriver.RowsAffected(tag.RowsAffected()), nil
}

// QueryContext sends a statement and waits for its first row.
func (c *conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	c.note(ctx, query)
	s := statement{query: query, inTx: c.inTx()}
	r, err := c.stdConn.QueryContext(ctx, query, args)
	for err != nil && c.runsAgain(ctx, s, err) {
		r, err = c.stdConn.QueryContext(ctx, query, args)
	}
	if err != nil {
		return nil, c.failed(ctx, s, err)
	}
	return newRows(ctx, c, s, r)
}

// plainValues takes the arguments out of database/sql's wrapping. Pgx
// understands their types by itself.
func plainValues(args []sqldriver.NamedValue) []any {
	if len(args) == 0 {
		return nil
	}
	values := make([]any, len(args))
	for i := range args {
		values[i] = args[i].Value
	}
	return values
}

// Close closes the connection.
func (c *conn) Close() error {
	err := c.stdConn.Close()
	c.hangUp()
	return err
}

// Prepare is PrepareContext without a context.
func (c *conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext prepares a statement on the server.
func (c *conn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	inTx := c.inTx()
	s, err := c.stdConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.harmless(ctx, inTx, err)
	}
	return newStmt(c, query, s)
}

// Ping asks the server for a sign of life.
func (c *conn) Ping(ctx context.Context) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	inTx := c.inTx()
	err := c.pgc.Ping(ctx)
	if err == nil {
		return nil
	}
	if explained := c.harmless(ctx, inTx, err); !errors.Is(explained, sqldriver.ErrBadConn) {
		return explained
	}
	return fmt.Errorf("pgx: ping: %w", err) // Database/sql does not repeat it.
}

// harmless explains the error of a request that changes nothing, and which may
// therefore be sent again, on another connection.
func (c *conn) harmless(ctx context.Context, inTx bool, err error) error {
	c.hangUp()
	switch {
	case !c.pgc.IsClosed() && serverError(err) != nil:
		return c.canceledOr(ctx, inTx, err)
	case !c.pgc.IsClosed():
		return notSent(ctx, err)
	case inTx:
		return &lostError{cause: withContext(ctx, err)}
	case ctx.Err() != nil:
		return withContext(ctx, err)
	}
	return sqldriver.ErrBadConn
}

func (c *conn) canceledOr(ctx context.Context, inTx bool, err error) error {
	if serverError(err).Code == codeQueryCanceled {
		return c.canceled(ctx, statement{inTx: inTx}, err)
	}
	return err
}

// ready says why a statement cannot be sent now.
func (c *conn) ready(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if c.canceller.uncertain.Load() {
		c.kill(ctx)
	}
	switch {
	case c.pgc.IsClosed() && c.inTx():
		return &lostError{cause: pgconn.ErrConnClosed}
	case c.pgc.IsClosed():
		return sqldriver.ErrBadConn
	case c.pgc.IsBusy():
		return errBusy
	case !c.conforming():
		return errNonconforming
	}
	return nil
}

// InTransaction reports what the server last said.
func (c *conn) InTransaction() bool { return c.inTx() }

// inTx reports whether the server has told of a transaction, open or failed.
// Of a closed connection it is the last that was heard.
func (c *conn) inTx() bool { return c.pgc.TxStatus() != statusIdle }

// conforming reports whether string constants are safe. The server tells of
// every change.
func (c *conn) conforming() bool { return c.pgc.ParameterStatus(conformingStrings) != "off" }

// ResetSession is called when the pool hands the connection out again.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.usable() {
		return sqldriver.ErrBadConn
	}
	now := time.Now()
	idle := now.Sub(c.used)
	if idle > lookAfter && c.socket.calls() || idle > pingAfter {
		// It fails without closing the connection if ctx ends. The statement
		// that follows will say so.
		if err := c.pgc.Ping(ctx); err != nil && (c.pgc.IsClosed() || ctx.Err() == nil) {
			return sqldriver.ErrBadConn
		}
	}
	c.used = now
	return c.stdConn.ResetSession(ctx)
}

// IsValid is called when the connection goes back to the pool. One with an
// open transaction, a raw BEGIN for instance, would lose the writes of the
// next borrower; one with another search_path would send them elsewhere.
func (c *conn) IsValid() bool { return c.usable() && c.stateless() }

func (c *conn) usable() bool {
	return !c.pgc.IsClosed() && !c.pgc.IsBusy() && !c.inTx() && !c.canceller.uncertain.Load() && c.conforming()
}

// kill closes the connection at once, whether ctx has ended or not.
func (c *conn) kill(ctx context.Context) {
	_ = c.pgc.Conn().SetDeadline(time.Now().Add(farewell))
	// A context that ends would be watched, and what is running be cancelled.
	_ = c.pg.Close(context.WithoutCancel(ctx))
	c.hangUp()
}
