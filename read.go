package echobun

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/reads"
)

// A reading is the connection of one SELECT: it knows the builder that it was
// made for, and so what the caller's model is. Its clones send through it too,
// at the same time as it may be; so it does not change.
type reading struct {
	h *handle
	q *bun.SelectQuery

	about string // The Table that q began with; empty for none.
}

var _ bun.IConn = (*reading)(nil)

// A selection is a builder in one allocation with its connection.
type selection struct {
	reading
	query bun.SelectQuery
}

func (h *handle) NewSelect() *bun.SelectQuery { return &h.newSelect().query }

func (h *handle) newSelect() *selection {
	s := &selection{query: *bun.NewSelectQuery(h.e.db)}
	s.reading = reading{h: h, q: &s.query}
	s.query.Conn(&s.reading)
	return s
}

// ExecContext runs finished SQL.
func (r *reading) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := r.h.e.onlyMaps(r.q, r.about); err != nil {
		return nil, err
	}
	return (*sender)(r.h).ExecContext(ctx, query, args...)
}

// QueryContext runs finished SQL.
func (r *reading) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := r.h.e.onlyMaps(r.q, r.about); err != nil {
		return nil, err
	}
	f := reads.FreshFor(r.q, query)
	if f == nil {
		return (*sender)(r.h).QueryContext(ctx, query, args...)
	}
	rows, err := (*sender)(r.h).QueryContext(context.WithValue(ctx, freshKey{}, f), query, args...)
	if err == nil && !r.h.e.owned { // Its connections do not say when a row comes.
		f.Begin()
	}
	return rows, err
}

// QueryRowContext runs finished SQL.
func (r *reading) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := r.h.e.onlyMaps(r.q, r.about); err != nil {
		return errorRow(err) //nolint:contextcheck // Nothing runs that a context could end.
	}
	return (*sender)(r.h).QueryRowContext(ctx, query, args...)
}

// freshKey is the context key of the [reads.Fresh] of a statement.
type freshKey struct{}

// begin is called when the first row is there.
func (r *rows) begin() {
	r.fresh.Begin()
	r.fresh = nil
}
