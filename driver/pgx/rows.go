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
	own := c.spare
	if own == nil {
		own = new(rows)
	}
	c.spare = nil
	*own = rows{Rows: std, conn: c, ctx: ctx, stmt: s}
	return own, nil
}

// Next reads the next row. At the end of the last one the reply is complete,
// and the outcome of the statement known.
func (r *rows) Next(dest []sqldriver.Value) error {
	return r.explain(r.Rows.Next(dest))
}

// Close reads what is left of the reply. Database/sql calls it once and touches
// the rows no more, so they can serve the connection's next query.
func (r *rows) Close() error {
	if r.Rows == nil {
		return nil // Closed already, by somebody who is not database/sql.
	}
	err := r.explain(r.Rows.Close())
	c := r.conn
	*r = rows{}
	c.spare = r
	return err
}

func (r *rows) explain(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // The end of rows is never wrapped.
		return err
	}
	return r.conn.failed(r.ctx, r.stmt, err)
}
