package mysql

import (
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
}

// Next reads the next row.
func (r *rows) Next(dest []sqldriver.Value) error {
	return r.explain(r.innerRows.Next(dest))
}

// NextResultSet goes on to the next result.
func (r *rows) NextResultSet() error {
	return r.explain(r.innerRows.NextResultSet())
}

func (r *rows) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) || r.ended {
		return err
	}
	r.ended = true
	return r.statement.end(err)
}

// Close reads what is left and ends the statement.
func (r *rows) Close() error {
	err := r.innerRows.Close()
	if r.ended {
		return err
	}
	r.ended = true
	return r.statement.end(err)
}

// discard closes rows that came when their context had ended.
func (r *rows) discard(cause error) error {
	switch err := r.Close(); {
	case err != nil:
		return err
	case reads(r.statement.query):
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
