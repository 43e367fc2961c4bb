package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// innerConn is what go-sql-driver's connection can do.
type innerConn interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.NamedValueChecker
	sqldriver.Pinger
	sqldriver.QueryerContext
	sqldriver.SessionResetter
	sqldriver.Validator
}

// A conn is a connection of go-sql-driver that says of a lost reply what it
// means, stops statements whose context ends, and bounds its commits. As any
// [sqldriver.Conn], it is for one goroutine at a time.
type conn struct {
	inner     innerConn
	net       net.Conn // Closed to cut short what waits for the server.
	connector *connector
	hello     hello
	status    status

	// broken says that the connection must not be used again.
	broken bool
	// changed says that a statement has left something in the session.
	changed bool
	// prepared is the transaction that is prepared and belongs to this
	// connection: as long as it lives, no other can finish it.
	prepared string
	guard    guard
	// step is how far the keys that an INSERT counts are apart; 0 if nobody has
	// asked yet.
	step int64
	// spare is a watch to use again, and spareRows are rows.
	spare     *watch
	spareRows *rows
}

var (
	_ innerConn              = (*conn)(nil)
	_ wire.TransactionTeller = (*conn)(nil)
)

func newConn(ctx context.Context, c *connector, raw sqldriver.Conn, line net.Conn) (*conn, error) {
	inner, ok := raw.(innerConn)
	if !ok {
		return nil, fmt.Errorf("go-sql-driver's %T is not what it was", raw)
	}
	st, err := statusOf(raw)
	if err != nil {
		return nil, err
	}
	h, err := greet(ctx, inner)
	if err != nil {
		return nil, err
	}
	return &conn{inner: inner, net: line, connector: c, hello: h, status: st}, nil
}

// Unwrap returns the connection of go-sql-driver.
func (c *conn) Unwrap() sqldriver.Conn { return c.inner }

// Close closes the connection. That the goodbye did not reach the server is no
// error: nothing depends on it.
func (c *conn) Close() error {
	_ = c.inner.Close()
	return nil
}

// CheckNamedValue converts an argument.
func (c *conn) CheckNamedValue(v *sqldriver.NamedValue) error { return c.inner.CheckNamedValue(v) }

// IsValid reports whether the pool may keep the connection. One with an open
// transaction, from a raw BEGIN or a SET autocommit=0, would swallow the next
// borrower's writes; one with another database would send them elsewhere.
func (c *conn) IsValid() bool {
	return !c.broken && !c.changed && c.prepared == "" && c.inner.IsValid() && !c.status.inTx()
}

// InTransaction reports what the server last said, and asks it whether the
// transaction is still the same, where a statement may have ended it.
func (c *conn) InTransaction() bool { return c.status.inTx() && !c.endedInside() }

// ResetSession reports whether the connection may be used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return sqldriver.ErrBadConn
	}
	return c.inner.ResetSession(ctx)
}

// Ping asks the server for a sign of life.
func (c *conn) Ping(ctx context.Context) error {
	return harmless(ctx, c.inner.Ping(ctx))
}

// Begin starts a transaction.
//
// Deprecated: [database/sql] uses BeginTx.
func (c *conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// errNested is for a BEGIN that the server would take for a COMMIT.
var errNested = errors.New("mysql: the connection is already in a transaction, begun by a statement: end that first")

// BeginTx starts a transaction. Its COMMIT or ROLLBACK takes no longer than
// ctx allows, by [wire.CommitTimeout]; the end of ctx does not cut it short.
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if b := driver.BranchOf(ctx); b != nil {
		return c.beginXA(ctx, opts, b)
	}
	if c.status.inTx() {
		return nil, errNested
	}
	inner, err := c.inner.BeginTx(ctx, opts)
	if err != nil {
		return nil, harmless(ctx, err)
	}
	t := &tx{inner: inner, conn: c, limit: wire.CommitTimeout(ctx)}
	if wire.UnitOf(ctx) != nil {
		c.guard = guard{limit: t.limit}
	}
	return t, nil
}

// Prepare prepares a statement.
func (c *conn) Prepare(query string) (sqldriver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	query = withExponents(query)
	inTx := c.status.inTx()
	prepared, err := c.inner.PrepareContext(ctx, query)
	if err != nil {
		if inTx {
			return nil, err
		}
		return nil, harmless(ctx, err)
	}
	inner, ok := prepared.(innerStmt)
	if !ok {
		_ = prepared.Close() // The error below is the one that matters.
		return nil, fmt.Errorf("mysql: go-sql-driver's %T is not what it was", prepared)
	}
	return &stmt{innerStmt: inner, conn: c, query: query}, nil
}

// harmless turns a lost reply into [sqldriver.ErrBadConn], which has
// database/sql try again on another connection. It is for what leaves nothing
// behind on the server.
func harmless(ctx context.Context, err error) error {
	if isLost(err) && ctx.Err() == nil {
		return sqldriver.ErrBadConn
	}
	return err
}

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if c.mustPrepare(args) {
		return nil, sqldriver.ErrSkip
	}
	given := withExponents(query)
	query, err := c.newTable(ctx, given)
	if err != nil {
		return nil, err
	}
	res, err := c.exec(ctx, query, func(ctx context.Context) (sqldriver.Result, error) {
		return c.inner.ExecContext(ctx, query, args)
	})
	if err != nil && query != given {
		err = explainKey(err)
	}
	return res, err
}

// QueryContext runs a statement that returns rows.
func (c *conn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if c.mustPrepare(args) {
		return nil, sqldriver.ErrSkip
	}
	query = withExponents(query)
	return c.query(ctx, query, func(ctx context.Context) (sqldriver.Rows, error) {
		return c.inner.QueryContext(ctx, query, args)
	})
}

// mustPrepare reports whether go-sql-driver leaves the arguments to a prepared
// statement.
func (c *conn) mustPrepare(args []sqldriver.NamedValue) bool {
	return len(args) > 0 && !c.connector.settings.cfg.InterpolateParams
}

// background is for go-sql-driver, which takes nothing but its end from a
// statement's context.
var background = context.Background()

// exec has run send a statement, with a context that does not end: when ctx
// does, go-sql-driver would hang up and leave the statement running.
func (c *conn) exec(ctx context.Context, query string, run func(context.Context) (sqldriver.Result, error)) (sqldriver.Result, error) {
	step, err := c.keyStep(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.start(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := run(background) //nolint:contextcheck // As said.
	if err = s.end(err); err != nil {
		return nil, err
	}
	wire.NoteKeyStep(ctx, step)
	return res, nil
}

// query is exec for a statement that returns rows. It goes on until they are closed.
func (c *conn) query(ctx context.Context, query string, run func(context.Context) (sqldriver.Rows, error)) (sqldriver.Rows, error) {
	s, err := c.start(ctx, query)
	if err != nil {
		return nil, err
	}
	got, err := run(background) //nolint:contextcheck // As exec.
	if err != nil {
		return nil, s.end(err)
	}
	inner, ok := got.(innerRows)
	if !ok {
		_ = got.Close() // The error below is the one that matters.
		return nil, s.end(fmt.Errorf("mysql: go-sql-driver's %T is not what it was", got))
	}
	r := c.newRows(inner, s)
	if ctx.Err() != nil {
		// Database/sql would throw the rows away and report the context's
		// end, even for an INSERT ... RETURNING that is done.
		return nil, r.discard(ctx.Err())
	}
	return r, nil
}

// start begins to watch over a statement that is about to be sent.
func (c *conn) start(ctx context.Context, query string) (statement, error) {
	if err := ctx.Err(); err != nil {
		return statement{}, err
	}
	if err := c.setGuard(query); err != nil { //nolint:contextcheck // A KILL for ctx could hit the statement that follows.
		return statement{}, err
	}
	leaves := leavesState(query)
	c.forgetStep(query, leaves)
	c.changed = c.changed || leaves && !wire.OwnSession(ctx)
	return statement{conn: c, query: query, inTx: c.status.inTx(), watch: c.watchOver(ctx)}, nil
}
