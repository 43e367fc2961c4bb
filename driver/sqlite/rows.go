package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"reflect"
	"time"
)

// rawRows is what the rows of modernc.org/sqlite can do.
type rawRows interface {
	sqldriver.Rows
	sqldriver.RowsColumnTypeDatabaseTypeName
	sqldriver.RowsColumnTypeScanType
	sqldriver.RowsColumnTypeLength
}

// query runs a query. Its rows are read while the caller asks for them, unless
// they would keep others waiting for as long.
func (c *conn) query(ctx context.Context, v verb, e extremes, call func(context.Context) (sqldriver.Rows, error)) (sqldriver.Rows, error) {
	if c.n.where.memory || v&(writes|controls) != 0 {
		return c.buffer(ctx, v, e, call)
	}
	limit, err := c.enter(ctx, v)
	if err != nil {
		return nil, err
	}
	r := &streamedRows{c: c, extremes: e}
	r.watch = c.in.watch(ctx, &r.space)
	err = c.attempt(ctx, v, limit, r.watch, func(inner context.Context) error {
		rows, err := call(inner)
		if r.raw, _ = rows.(rawRows); r.raw != nil {
			r.json = jsonColumns(r.raw)
		}
		return err
	})
	if err = c.leave(v, err); err != nil { //nolint:contextcheck // As in run: the call is done.
		r.watch.close()
		return nil, err
	}
	return r, nil
}

// streamedRows are rows that are read from SQLite one by one.
type streamedRows struct {
	raw   rawRows
	json  []int // Columns of it.
	c     *conn
	watch *watch
	space watch // For watch.
	of    *stmt // Whose rows they are, if it was prepared.

	extremes extremes
}

// Columns returns the names of the columns.
func (r *streamedRows) Columns() []string { return r.raw.Columns() }

// Next reads the next row.
func (r *streamedRows) Next(row []sqldriver.Value) error {
	if err := r.watch.enter(); err != nil {
		return err
	}
	if err := r.watch.leave(r.raw.Next(row)); err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return r.c.leave(0, err)
	}
	fixRow(row, r.json)
	r.extremes.fix(row, r.raw, r.watch)
	return nil
}

// Close ends the query.
func (r *streamedRows) Close() error {
	r.watch.close()
	if r.of != nil {
		r.of.busy = false
	}
	return r.c.leave(0, r.raw.Close())
}

// ColumnTypeDatabaseTypeName returns the declared type in capitals.
func (r *streamedRows) ColumnTypeDatabaseTypeName(i int) string {
	return r.raw.ColumnTypeDatabaseTypeName(i)
}

// ColumnTypeScanType returns a type that takes the values of the column.
func (r *streamedRows) ColumnTypeScanType(i int) reflect.Type {
	declared := r.raw.ColumnTypeDatabaseTypeName(i)
	switch t := r.raw.ColumnTypeScanType(i); {
	case t == nil:
		return scanType(declared, nil)
	case t.Kind() == reflect.String && (declared == "DATE" || declared == "DATETIME" || declared == "TIMESTAMP"):
		return reflect.TypeFor[time.Time]() // What Next makes of it.
	case isJSON(declared) && isNumeric(t):
		return reflect.TypeFor[string]() // Likewise.
	default:
		return t
	}
}

// ColumnTypeNullable reports that a null is possible.
func (r *streamedRows) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypeLength returns the longest length of texts and blobs.
func (r *streamedRows) ColumnTypeLength(i int) (int64, bool) { return r.raw.ColumnTypeLength(i) }
