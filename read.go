package echobun

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/reads"
)

// A reading is the connection of one SELECT: it knows the builder that sends
// through it, and so what the caller's model is.
type reading struct {
	h     *handle
	q     *bun.SelectQuery
	first string // Its own statement; those of its relations come after it.
}

var _ bun.IConn = (*reading)(nil)

// A selection is a builder in one allocation with its connection.
type selection struct {
	reading
	query bun.SelectQuery
}

func (h *handle) NewSelect() *bun.SelectQuery {
	s := &selection{query: *bun.NewSelectQuery(h.e.db)}
	s.reading = reading{h: h, q: &s.query}
	return s.query.Conn(&s.reading)
}

// ExecContext runs finished SQL.
func (r *reading) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return (*sender)(r.h).ExecContext(ctx, query, args...)
}

// QueryContext runs finished SQL.
func (r *reading) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if r.first == "" {
		r.first = query
	}
	if r.first != query {
		return (*sender)(r.h).QueryContext(ctx, query, args...)
	}
	if f := reads.FreshFor(r.q); f != nil {
		ctx = context.WithValue(ctx, freshKey{}, f)
	}
	undo := reads.Clear(r.q)
	rows, err := (*sender)(r.h).QueryContext(ctx, query, args...)
	if err != nil && undo != nil {
		undo()
	}
	return rows, err
}

// QueryRowContext runs finished SQL.
func (r *reading) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return (*sender)(r.h).QueryRowContext(ctx, query, args...)
}

// freshKey is the context key of the [reads.Fresh] of a statement.
type freshKey struct{}

// begin is called when the first row is asked for.
func (r *rows) begin() {
	r.fresh.Begin()
	r.fresh = nil
}
