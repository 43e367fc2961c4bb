package pgx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/stdlib"
)

// rows are pgx's rows, whose errors are explained.
type rows struct {
	*stdlib.Rows

	conn *conn
	ctx  context.Context //nolint:containedctx // Of the query: rows live as long as it does.
	stmt statement
}

func newRows(ctx context.Context, c *conn, s statement, r sqldriver.Rows) (sqldriver.Rows, error) {
	std, ok := r.(*stdlib.Rows)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pgx: unexpected type of rows %T", r), r.Close())
	}
	return &rows{Rows: std, conn: c, ctx: ctx, stmt: s}, nil
}

// Next reads the next row. At the end of the last one the reply is complete,
// and the outcome of the statement known.
func (r *rows) Next(dest []sqldriver.Value) error {
	return r.explain(r.Rows.Next(dest))
}

// Close reads what is left of the reply.
func (r *rows) Close() error {
	return r.explain(r.Rows.Close())
}

func (r *rows) explain(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // The end of rows is never wrapped.
		return err
	}
	return r.conn.failed(r.ctx, r.stmt, err)
}
