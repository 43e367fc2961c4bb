package echobun

import (
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"time"

	"github.com/echobun/echobun/internal/reads"
	"github.com/echobun/echobun/internal/wire"
)

// rows are a driver's rows. What a driver's rows don't know about their
// columns is answered as database/sql would.
type rows struct {
	inner driver.Rows
	c     *conn
	query string
	held  bool // They keep a connection from the pool.

	last    []driver.Value // The row read last, in database/sql's memory.
	columns []wire.Convert // What makes of its values those of a map; nil if the rows do not go into maps.

	lending int8 // Whether bytes are lent to who keeps them.

	fresh *reads.Fresh // Of the model that they are read into, until the first is.

	values      []driver.Value // What was read before it is asked for, row after row.
	width       int
	count, next int
	buffered    bool   // Values has it all.
	reply       *reply // Whose rows these are, if it may be one of a write.

	suspect *time.Timer // Of a leak.
}

var (
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

func (c *conn) newRows(query string, inner driver.Rows) *rows {
	r := c.spare
	if r == nil {
		r = new(rows)
	}
	c.spare = nil
	*r = rows{inner: inner, c: c, query: query, held: !c.inTx, values: r.values}
	c.open++
	r.suspect = c.e.suspect("result set")
	if r.held {
		c.e.pool.held.Add(1)
	}
	return r
}

func (r *rows) Columns() []string { return r.inner.Columns() }

func (r *rows) Next(dest []driver.Value) error {
	err := r.read(dest)
	r.c.watch.Gives()
	if err == nil {
		if r.fresh != nil {
			r.begin()
		}
		r.last = dest
		if r.columns != nil {
			convert(r.columns, dest)
		} else {
			r.own(dest)
		}
		return nil
	}
	if err == io.EOF { //nolint:errorlint // Compared as database/sql does.
		if r.reply != nil {
			r.reply.state.Store(replyComplete)
		}
		return err
	}
	return r.c.refused(operation(r.query), err)
}

// Close closes the rows. database/sql calls it once and touches them no more,
// so they can serve the connection's next query.
func (r *rows) Close() error {
	if r.inner == nil {
		return nil // Closed already, by somebody who is not database/sql.
	}
	cleared(r.suspect)
	err := r.inner.Close()
	if err == nil {
		r.ended()
	}
	c, query := r.c, r.query
	if r.held {
		c.e.pool.held.Add(-1)
	}
	*r = rows{values: r.keep()}
	c.spare = r
	if c.open--; c.open == 0 {
		c.watch.Rests()
	}
	if err != nil {
		return c.refused(operation(query), err)
	}
	return nil
}

func (r *rows) HasNextResultSet() bool {
	next, ok := r.inner.(driver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

func (r *rows) NextResultSet() error {
	next, ok := r.inner.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	r.last, r.columns = nil, nil
	r.values, r.count, r.next, r.buffered = r.values[:0], 0, 0, false // They were of the one before.
	err := next.NextResultSet()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return r.c.refused(operation(r.query), err)
}

func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if i == 0 && r.columns == nil && mapped() {
		r.toMaps()
	}
	if r.columns != nil {
		return bytesType
	}
	if t, ok := r.inner.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.inner.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if t, ok := r.inner.(driver.RowsColumnTypeLength); ok {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

func (r *rows) ColumnTypeNullable(i int) (nullable, known bool) {
	if t, ok := r.inner.(driver.RowsColumnTypeNullable); ok {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, known bool) {
	if t, ok := r.inner.(driver.RowsColumnTypePrecisionScale); ok {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
