package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"math"
	"reflect"
	"time"
)

// buffer runs a query and reads all its rows at once, so that nobody has to
// wait until the caller has read them. It also brings up the error of a
// statement that fails after its last row, when it is committed: callers who
// want one row and close the rest would lose it.
func (c *conn) buffer(ctx context.Context, v verb, e extremes, call func(context.Context) (sqldriver.Rows, error)) (sqldriver.Rows, error) {
	r := new(bufferedRows)
	err := c.run(ctx, v, func(inner context.Context) error {
		rows, err := call(inner)
		if err != nil {
			return err
		}
		return r.fill(rows, &e) //nolint:contextcheck // The watch of this one ends what it asks.
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// bufferedRows are rows that SQLite is done with.
type bufferedRows struct {
	raw    rawRows // Closed. Knows the columns.
	json   []int   // Columns of it.
	width  int
	values []sqldriver.Value // Row after row.
	count  int
	next   int
}

// fill reads all rows and closes them.
func (r *bufferedRows) fill(rows sqldriver.Rows, e *extremes) error {
	*r = bufferedRows{width: len(rows.Columns())}
	if r.raw, _ = rows.(rawRows); r.raw != nil {
		r.json = jsonColumns(r.raw)
	}
	err := r.read(rows, e)
	if closing := rows.Close(); err == nil {
		err = closing
	}
	return err
}

func (r *bufferedRows) read(rows sqldriver.Rows, e *extremes) error {
	for {
		start := len(r.values)
		r.values = append(r.values, make([]sqldriver.Value, r.width)...)
		row := r.values[start:]
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			r.values = r.values[:start]
			return nil
		} else if err != nil {
			return err
		}
		fixRow(row, r.json)
		e.fix(row, r.raw, nil)
		r.count++
	}
}

// Complete reports that nothing is left to read.
func (r *bufferedRows) Complete() bool { return true }

// Columns returns the names of the columns.
func (r *bufferedRows) Columns() []string {
	if r.raw == nil {
		return nil
	}
	return r.raw.Columns()
}

// Next hands out the next row.
func (r *bufferedRows) Next(row []sqldriver.Value) error {
	if r.next == r.count {
		return io.EOF
	}
	copy(row, r.values[r.next*r.width:])
	r.next++
	return nil
}

// Close forgets the rows.
func (r *bufferedRows) Close() error {
	r.values, r.count, r.next = nil, 0, 0
	return nil
}

// ColumnTypeDatabaseTypeName returns the declared type in capitals.
func (r *bufferedRows) ColumnTypeDatabaseTypeName(i int) string {
	return r.raw.ColumnTypeDatabaseTypeName(i)
}

// ColumnTypeScanType returns a type that takes the values of the column.
func (r *bufferedRows) ColumnTypeScanType(i int) reflect.Type {
	return scanType(r.ColumnTypeDatabaseTypeName(i), r.current(i))
}

// ColumnTypeNullable reports that a null is possible.
func (r *bufferedRows) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypeLength returns the longest length of texts and blobs.
func (r *bufferedRows) ColumnTypeLength(i int) (int64, bool) {
	switch r.current(i).(type) {
	case string, []byte:
		return math.MaxInt64, true
	default:
		return 0, false
	}
}

// current is a value of the row last read, or of the first one.
func (r *bufferedRows) current(i int) sqldriver.Value {
	at := max(r.next-1, 0)
	if at >= r.count {
		return nil
	}
	return r.values[at*r.width+i]
}

// scanType is never nil: Bun asks it for its kind. A null says nothing about
// the other rows, so then the declared type has to.
func scanType(declared string, value sqldriver.Value) reflect.Type {
	switch value.(type) {
	case nil:
		if declared == "BLOB" {
			return reflect.TypeFor[[]byte]()
		}
		return reflect.TypeFor[any]()
	case int64:
		if declared == "BOOLEAN" {
			return reflect.TypeFor[bool]()
		}
	case time.Time:
		return reflect.TypeFor[time.Time]()
	}
	return reflect.TypeOf(value)
}

// noBytes is an empty blob, which modernc.org/sqlite returns as a nil slice:
// written back, that would be a null.
var noBytes sqldriver.Value = []byte{}

func fixRow(row []sqldriver.Value, json []int) {
	for _, i := range json {
		row[i] = asJSON(row[i])
	}
	for i, v := range row {
		if b, ok := v.([]byte); ok && b == nil {
			row[i] = noBytes
		}
	}
}
