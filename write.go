package echobun

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/bridge"
	"github.com/echobun/echobun/internal/wire"
	"github.com/echobun/echobun/internal/writes"
)

// A write is the connection of one INSERT, UPDATE or DELETE: it knows the
// builder that sends through it, and so what the caller's model is.
type write struct {
	e    *engine
	h    *handle   // Of the session; nil for an engine's own builder.
	conn bun.IConn // What sends it.
	q    writes.Builder
	was  writes.Was // What the model held before Bun made a soft delete of q; see [modelHooks].

	about   string // The Table that q began with; empty for none.
	refused error  // Why q is not sent, found while it was made.
}

var _ bun.IConn = (*write)(nil)

// These builders are in one allocation with their connections.
type (
	insertion struct {
		write
		query bun.InsertQuery
	}
	change struct {
		write
		query bun.UpdateQuery
	}
	deletion struct {
		write
		query bun.DeleteQuery
	}
)

func (h *handle) NewInsert() *bun.InsertQuery {
	i := new(insertion)
	h.beginInsert(i)
	return &i.query
}

func (h *handle) beginInsert(i *insertion) {
	i.query = *bun.NewInsertQuery(h.e.db)
	i.write = write{e: h.e, h: h, conn: (*sender)(h), q: &i.query}
	i.query.Conn(&i.write)
}

func (h *handle) NewUpdate() *bun.UpdateQuery { return &h.newUpdate().query }

func (h *handle) newUpdate() *change {
	u := &change{query: *bun.NewUpdateQuery(h.e.db)}
	u.write = write{e: h.e, h: h, conn: (*sender)(h), q: &u.query}
	u.query.Conn(&u.write)
	return u
}

func (h *handle) NewDelete() *bun.DeleteQuery { return &h.newDelete().query }

func (h *handle) newDelete() *deletion {
	d := &deletion{query: *bun.NewDeleteQuery(h.e.db)}
	d.write = write{e: h.e, h: h, conn: (*sender)(h), q: &d.query}
	d.query.Conn(&d.write)
	return d
}

// ExecContext runs finished SQL.
func (w *write) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, err := w.check(ctx, query, false)
	if err != nil {
		return nil, err
	}
	if writes.Counts(w.q) {
		return w.execCounted(ctx, query, args)
	}
	res, err := w.conn.ExecContext(ctx, query, args...)
	if err != nil {
		writes.Failed(w.q, w.was)
	}
	return res, err
}

// execCounted is ExecContext for an INSERT of which Bun counts the keys.
func (w *write) execCounted(ctx context.Context, query string, args []any) (sql.Result, error) {
	step := int64(1)
	res, err := w.conn.ExecContext(wire.WithKeyStep(ctx, &step), query, args...)
	if err != nil {
		return nil, err
	}
	return writes.Result(w.q, query, res, step), nil
}

// QueryContext runs finished SQL.
func (w *write) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, err := w.check(ctx, query, true)
	if err != nil {
		return nil, err
	}
	var maps *writes.Maps
	sent := ctx
	if writes.Keeps(w.q) {
		maps = &writes.Maps{Asked: mapped}
		sent = wire.WithKeptColumns(ctx, &maps.KeptColumns)
	}
	rows, err := w.conn.QueryContext(sent, query, args...)
	if err != nil {
		writes.Failed(w.q, w.was)
		return nil, err
	}
	rows, err = writes.Rows(ctx, w.q, rows, maps)
	if err != nil {
		writes.Failed(w.q, w.was)
		return nil, w.unread(ctx, query, err)
	}
	return rows, nil
}

// QueryRowContext runs finished SQL. Bun's builders do not use it.
func (w *write) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return w.conn.QueryRowContext(ctx, query, args...)
}

// unread wraps why not all of an answer could be read, which dooms the
// transaction of the session. Connections of the library's own have done both.
func (w *write) unread(ctx context.Context, query string, err error) error {
	err = w.e.wrap(operation(query), err)
	if w.h == nil || w.h.s.level == nil {
		return err
	}
	if b, outside := w.h.branch(ctx, query); outside == nil {
		w.h.s.level.failed(b, err)
	}
	return err
}

// check returns the SQL to send. What is refused is a [*ModelError].
func (w *write) check(ctx context.Context, query string, asks bool) (string, error) {
	if err := w.e.onlyMaps(w.q, w.about); err != nil {
		writes.Failed(w.q, w.was)
		return "", err
	}
	checked, err := query, w.refused
	if err == nil {
		checked, err = writes.Check(w.q, query, asks)
	}
	if err != nil {
		writes.Failed(w.q, w.was)
		return "", &ModelError{Model: w.q.GetTableName(), Bind: w.e.key, Err: err}
	}
	if checked != query {
		bridge.Rewrite(ctx, query, checked)
	}
	return checked, nil
}
