package echobun

import (
	"context"
	"database/sql"
	"runtime"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// An engineConn is an engine's pool as finished SQL reaches it, from sessions
// and from the engine's own builders. The wait for a connection ends with
// PoolTimeout, and errors name the bind.
type engineConn engine

var (
	_ bun.IConn        = (*engineConn)(nil)
	_ bun.ConnResolver = (*engineConn)(nil)
)

// ResolveConn has the builders of [Extension.Engine] send here what they would
// give to database/sql, where a wait has no limit but the context's.
func (c *engineConn) ResolveConn(_ context.Context, query bun.Query) bun.IConn {
	switch q := query.(type) {
	case *bun.InsertQuery:
		return &write{e: (*engine)(c), conn: c, q: q}
	case *bun.UpdateQuery:
		return &write{e: (*engine)(c), conn: c, q: q}
	case *bun.DeleteQuery:
		return &write{e: (*engine)(c), conn: c, q: q}
	case *bun.CreateTableQuery:
		return tableMaker{c}
	}
	return c
}

// Close does nothing: the pool is the bun.DB's to close.
func (c *engineConn) Close() error { return nil }

// ExecContext runs finished SQL.
func (c *engineConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return (*engine)(c).exec(ctx, c.db.DB, query, args)
}

// QueryContext runs finished SQL.
func (c *engineConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return (*engine)(c).query(ctx, c.db.DB, query, args)
}

// QueryRowContext runs finished SQL.
func (c *engineConn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return (*engine)(c).queryRow(ctx, c.db.DB, query, args)
}

func (e *engine) exec(ctx context.Context, conn bun.IConn, query string, args []any) (res sql.Result, err error) {
	inTime := ctx.Err() == nil
	ctx, w := e.pool.enter(ctx)
	defer func() {
		e.pool.leave(w) // Also when a hook of the user's panics.
		w.release()
		if err != nil {
			res, err = nil, e.sentError(w, inTime, query, err)
		}
	}()
	return conn.ExecContext(ctx, query, args...)
}

func (e *engine) query(ctx context.Context, conn bun.IConn, query string, args []any) (rows *sql.Rows, err error) {
	inTime := ctx.Err() == nil
	ctx, w := e.pool.enter(ctx)
	defer func() {
		e.pool.leave(w)
		if err != nil {
			w.release()
			rows, err = nil, e.sentError(w, inTime, query, err)
		}
	}()
	rows, err = conn.QueryContext(e.replies(ctx, query, !formats(conn)), query, args...)
	if w != nil && err == nil {
		// The rows live on the waiter's context: it may go when they have.
		runtime.AddCleanup(rows, (*waiter).release, w)
	}
	return rows, err
}

func (e *engine) queryRow(ctx context.Context, conn bun.IConn, query string, args []any) (row *sql.Row) {
	inTime := ctx.Err() == nil
	ctx, w := e.pool.enter(ctx)
	defer func() { //nolint:contextcheck // An error's row takes a context that is over.
		e.pool.leave(w)
		if row == nil { // A panic.
			w.release()
		} else if err := row.Err(); err != nil {
			w.release()
			row = errorRow(e.sentError(w, inTime, query, err))
		}
	}()
	row = conn.QueryRowContext(e.replies(ctx, query, true), query, args...)
	if w != nil && row.Err() == nil {
		runtime.AddCleanup(row, (*waiter).release, w)
	}
	return row
}

// sentError is statementError with a hint for those who wait for what their own
// transaction holds. On the library's own connections a bare DeadlineExceeded
// is database/sql's: what came in time and found no connection that answers has
// met a server out of reach.
func (e *engine) sentError(w *waiter, inTime bool, query string, err error) error {
	timeout := e.poolTimeout(w)
	if e.owned && timeout == nil && inTime && err == context.DeadlineExceeded { //nolint:errorlint // A wrapped one is the driver's.
		return &BindError{Bind: e.key, Op: operation(query), Err: err, class: driver.Unavailable}
	}
	if timeout == nil {
		return e.statementError(w, query, err)
	}
	if s, ok := w.caller.Value(sessionKey{e.metadata.x}).(*Session); ok && s.level != nil {
		timeout.inside = s.level.t.uses(e)
	}
	return e.wrap(operation(query), timeout)
}
