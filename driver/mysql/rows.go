package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"

	"github.com/echobun/echobun/internal/wire"
)

// innerRows is what go-sql-driver's rows can do.
type innerRows interface {
	sqldriver.RowsNextResultSet
	sqldriver.RowsColumnTypeDatabaseTypeName
	sqldriver.RowsColumnTypeNullable
	sqldriver.RowsColumnTypePrecisionScale
	sqldriver.RowsColumnTypeScanType
}

// rows belong to a statement that is watched over until they are closed.
type rows struct {
	innerRows

	statement statement
	ended     bool
	times     []int // Columns of the present result.
}

// newRows makes rows, of those of an earlier query if there are any.
func (c *conn) newRows(inner innerRows, s statement) *rows {
	r := c.spareRows
	if r == nil {
		r = new(rows)
	}
	c.spareRows = nil
	*r = rows{innerRows: inner, statement: s, times: r.times}
	r.findTimes()
	return r
}

// Next reads the next row.
func (r *rows) Next(dest []sqldriver.Value) error {
	err := r.innerRows.Next(dest)
	if err == nil {
		return r.readTimes(dest)
	}
	if err == io.EOF && !r.ended && !r.HasNextResultSet() { //nolint:errorlint // The end of rows is never wrapped.
		// The server is done: nothing is left to stop.
		r.ended = true
		return cmp.Or(r.statement.end(nil), err)
	}
	return r.explain(err)
}

// LendsBytes says that the bytes of a row are those of the connection's buffer.
func (*rows) LendsBytes() {}

// NextResultSet goes on to the next result.
func (r *rows) NextResultSet() error {
	err := r.explain(r.innerRows.NextResultSet())
	if err == nil {
		r.findTimes()
	}
	return err
}

func (r *rows) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) || r.ended {
		return err
	}
	r.ended = true
	return r.statement.end(err)
}

// Close reads what is left and ends the statement. Database/sql calls it once
// and touches the rows no more, so they can serve the connection's next query.
func (r *rows) Close() error {
	if r.innerRows == nil {
		return nil // Closed already, by somebody who is not database/sql.
	}
	err := r.innerRows.Close()
	if !r.ended {
		err = r.statement.end(err)
	}
	c := r.statement.conn
	*r = rows{times: r.times}
	c.spareRows = r
	return err
}

// discard closes rows that came when their context had ended.
func (r *rows) discard(cause error) error {
	query := r.statement.query
	switch err := r.Close(); {
	case err != nil:
		return err
	case reads(query):
		return cause
	}
	return wire.OutcomeUnknown(cause)
}

// innerStmt is what go-sql-driver's prepared statement can do.
type innerStmt interface {
	sqldriver.Stmt
	sqldriver.NamedValueChecker
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
}

// A stmt is a prepared statement.
type stmt struct {
	innerStmt

	conn  *conn
	query string
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return s.conn.exec(ctx, s.query, func(ctx context.Context) (sqldriver.Result, error) {
		return s.innerStmt.ExecContext(ctx, args)
	})
}

// QueryContext runs the statement and returns its rows.
func (s *stmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return s.conn.query(ctx, s.query, func(ctx context.Context) (sqldriver.Rows, error) {
		return s.innerStmt.QueryContext(ctx, args)
	})
}
