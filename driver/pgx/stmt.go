package pgx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"
)

// A stmt is a statement prepared on one connection.
type stmt struct {
	*stdlib.Stmt

	conn  *conn
	query string
}

var (
	_ sqldriver.StmtExecContext  = (*stmt)(nil)
	_ sqldriver.StmtQueryContext = (*stmt)(nil)
)

func newStmt(c *conn, query string, s sqldriver.Stmt) (sqldriver.Stmt, error) {
	std, ok := s.(*stdlib.Stmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pgx: unexpected type of statement %T", s), s.Close())
	}
	return &stmt{Stmt: std, conn: c, query: query}, nil
}

// ExecContext runs the statement: pgx knows a prepared one by its text.
func (s *stmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext runs the statement and waits for its first row.
func (s *stmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// Close forgets the statement. On a closed connection the server has done so.
func (s *stmt) Close() error {
	if s.conn.pgc.IsClosed() {
		return nil
	}
	return s.Stmt.Close()
}
