package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
)

var (
	_ sqldriver.StmtExecContext  = (*stmt)(nil)
	_ sqldriver.StmtQueryContext = (*stmt)(nil)
)

// rawStmt is what a statement of modernc.org/sqlite can do.
type rawStmt interface {
	sqldriver.Stmt
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
}

// stmt is a prepared statement.
type stmt struct {
	c     *conn
	raw   rawStmt
	query string
	verb  verb
	busy  bool // Its rows are being read.
}

func prepare(ctx context.Context, c sqldriver.ConnPrepareContext, query string) (rawStmt, error) {
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	raw, ok := s.(rawStmt)
	if !ok {
		return nil, errors.Join(errors.New("sqlite: this version of modernc.org/sqlite lacks methods that are needed"), s.Close())
	}
	return raw, nil
}

// Close frees the statement.
func (s *stmt) Close() error { return s.c.n.where.name(s.raw.Close()) }

// NumInput is unknown: a text may hold several statements.
func (s *stmt) NumInput() int { return s.raw.NumInput() }

// Exec runs the statement.
func (s *stmt) Exec(args []sqldriver.Value) (sqldriver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query runs the statement.
func (s *stmt) Query(args []sqldriver.Value) (sqldriver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if s.busy || s.c.lost != nil {
		return s.c.ExecContext(ctx, s.query, args)
	}
	var result sqldriver.Result
	err := s.c.run(ctx, s.verb, func(inner context.Context) (err error) {
		result, err = s.raw.ExecContext(inner, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// QueryContext runs the statement. While its rows are being read it cannot run
// again, so then its text does.
func (s *stmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if s.busy || s.c.lost != nil {
		return s.c.QueryContext(ctx, s.query, args)
	}
	rows, err := s.c.query(ctx, s.verb, extremes{c: s.c, query: s.query, args: args}, func(inner context.Context) (sqldriver.Rows, error) {
		return s.raw.QueryContext(inner, args)
	})
	if stream, ok := rows.(*streamedRows); ok && err == nil {
		s.busy, stream.of = true, s
	}
	return rows, err
}

func named(values []sqldriver.Value) []sqldriver.NamedValue {
	args := make([]sqldriver.NamedValue, len(values))
	for i, v := range values {
		args[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}
