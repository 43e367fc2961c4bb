package echobun

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/writes"
)

// A handle is a session's door to one engine. It is the bun.IDB that Bind and
// For give. The builders it makes send their finished SQL through the same
// handle, seen as a [sender].
type handle struct {
	s    *Session
	e    *engine
	next *handle // Of the session's chain; never changes.
}

// sender is a handle as Bun's builders see it: a connection that takes
// finished SQL, of which the hooks know already.
type sender handle

var (
	_ bun.IDB   = (*handle)(nil)
	_ bun.IConn = (*sender)(nil)
)

func (h *handle) Dialect() schema.Dialect { return h.e.db.Dialect() }

func (h *handle) NewValues(model any) *bun.ValuesQuery {
	if err := writes.Values(model); err != nil {
		err = &ModelError{Model: fmt.Sprintf("%T", model), Bind: h.e.key, Err: err}
		// Of maps SetValues makes nothing, so that it fails as well: it asks for no Err.
		return bun.NewValuesQuery(h.e.db, &[]map[string]any{}).Conn((*sender)(h)).Err(err)
	}
	return bun.NewValuesQuery(h.e.db, model).Conn((*sender)(h))
}

func (h *handle) NewMerge() *bun.MergeQuery {
	return bun.NewMergeQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewRaw(query string, args ...any) *bun.RawQuery {
	return bun.NewRawQuery(h.e.db, query, args...).Conn((*sender)(h))
}

func (h *handle) NewCreateTable() *bun.CreateTableQuery {
	return bun.NewCreateTableQuery(h.e.db).Conn(tableMaker{(*sender)(h)})
}

func (h *handle) NewDropTable() *bun.DropTableQuery {
	return bun.NewDropTableQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewCreateIndex() *bun.CreateIndexQuery {
	return bun.NewCreateIndexQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewDropIndex() *bun.DropIndexQuery {
	return bun.NewDropIndexQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewTruncateTable() *bun.TruncateTableQuery {
	return bun.NewTruncateTableQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewAddColumn() *bun.AddColumnQuery {
	return bun.NewAddColumnQuery(h.e.db).Conn((*sender)(h))
}

func (h *handle) NewDropColumn() *bun.DropColumnQuery {
	return bun.NewDropColumnQuery(h.e.db).Conn((*sender)(h))
}

// ExecContext formats and runs a statement; Bun's hooks see it.
func (h *handle) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if h.s.level != nil {
		return h.execInTx(ctx, true, query, args)
	}
	return execContext(ctx, h, h.e.db, query, args)
}

// QueryContext formats and runs a query; Bun's hooks see it.
func (h *handle) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	if h.s.level != nil {
		return h.queryInTx(ctx, true, query, args) //nolint:sqlclosecheck // They are the caller's.
	}
	if !h.e.hooked {
		return queryContext(ctx, h, h.e.db, query, args) //nolint:sqlclosecheck // As above.
	}
	// Of rows whose hook leaves behind their query nobody knows but Bun.
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if rows == nil {
			cancel() // It closes them.
		}
	}()
	rows, err = queryContext(ctx, h, h.e.db, query, args) //nolint:sqlclosecheck // As above.
	if rows != nil {
		runtime.AddCleanup(rows, func(cancel context.CancelFunc) { cancel() }, cancel)
	}
	return rows, err
}

// QueryRowContext formats and runs a query; Bun's hooks see it.
func (h *handle) QueryRowContext(ctx context.Context, query string, args ...any) (row *sql.Row) {
	if h.s.level != nil {
		return h.queryRowInTx(ctx, true, query, args)
	}
	if !h.e.hooked {
		return queryRowContext(ctx, h, h.e.db, query, args)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if row == nil {
			cancel() // As above.
		}
	}()
	row = queryRowContext(ctx, h, h.e.db, query, args)
	runtime.AddCleanup(row, func(cancel context.CancelFunc) { cancel() }, cancel)
	return row
}

// ExecContext runs finished SQL.
func (c *sender) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if c.s.level != nil {
		return (*handle)(c).execInTx(ctx, false, query, args)
	}
	return execContext(ctx, (*handle)(c), c.e.db.DB, query, args)
}

// QueryContext runs finished SQL.
func (c *sender) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if c.s.level != nil {
		return (*handle)(c).queryInTx(ctx, false, query, args)
	}
	return queryContext(ctx, (*handle)(c), c.e.db.DB, query, args)
}

// QueryRowContext runs finished SQL.
func (c *sender) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if c.s.level != nil {
		return (*handle)(c).queryRowInTx(ctx, false, query, args)
	}
	return queryRowContext(ctx, (*handle)(c), c.e.db.DB, query, args)
}

func execContext(ctx context.Context, h *handle, conn bun.IConn, query string, args []any) (sql.Result, error) {
	if err := h.s.admits(ctx, h.e, query); err != nil {
		return nil, err
	}
	ctx, start := h.sends(ctx, query, nil)
	defer func() { h.s.app.timed(h.e, start) }()
	return h.e.exec(ctx, conn, query, args)
}

func queryContext(ctx context.Context, h *handle, conn bun.IConn, query string, args []any) (*sql.Rows, error) {
	if err := h.s.admits(ctx, h.e, query); err != nil {
		return nil, err
	}
	ctx, start := h.sends(ctx, query, nil)
	defer func() { h.s.app.timed(h.e, start) }()
	return h.e.query(ctx, conn, query, args) //nolint:sqlclosecheck // They are the caller's.
}

func queryRowContext(ctx context.Context, h *handle, conn bun.IConn, query string, args []any) *sql.Row {
	if err := h.s.admits(ctx, h.e, query); err != nil {
		return errorRow(err) //nolint:contextcheck // It takes a context that is over.
	}
	ctx, start := h.sends(ctx, query, nil)
	defer func() { h.s.app.timed(h.e, start) }()
	return h.e.queryRow(ctx, conn, query, args)
}
