package writes

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"

	"github.com/echobun/echobun/internal/rowlock"
)

// Rows returns what Bun is to read in place of rows, the answer to the
// finished statement of q. It reads them to their end before Bun touches the
// caller's slice, so a statement that fails midway leaves that as it was. The end
// of ctx does not close them; it tells when Bun should be done with them.
func Rows(ctx context.Context, q Builder, rows *sql.Rows, maps *Maps) (*sql.Rows, error) {
	t, s, ok := slice(q)
	if !ok || maps == nil {
		return rows, nil
	}
	a, err := read(rows, maps)
	if err != nil {
		return nil, err
	}
	a.to = placeFor(q, t, s, a)
	a.watch.Begins(ctx)
	return a.open() //nolint:contextcheck // They are in memory, where no context ends them.
}

// Keeps reports whether [Rows] will read what q returns.
func Keeps(q Builder) bool {
	_, _, ok := slice(q)
	return ok
}

// An answer is all rows of a statement, as a driver whose only query has them.
// Its rows are read and closed by the goroutine of the caller alone: no
// context ends them.
type answer struct {
	columns []string
	values  []driver.Value // Row after row.
	count   int
	next    int
	to      *place
	maps    *Maps
	types   []reflect.Type // Of the columns, as their driver has them; nil if it knows them for maps.
	last    []driver.Value // The row given out last, in database/sql's memory.
	watch   rowlock.Watch  // For a Scan into something else that panics.
}

var (
	_ driver.Connector = answerConn{}
	_ driver.Rows      = (*answer)(nil)

	_ driver.RowsColumnTypeScanType = (*answer)(nil)

	_ driver.QueryerContext = answerConn{}
)

// read reads and closes rows.
func read(rows *sql.Rows, maps *Maps) (*answer, error) {
	a, err := readAll(rows, maps)
	if closing := rows.Close(); err == nil {
		err = closing
	}
	return a, err
}

func readAll(rows *sql.Rows, maps *Maps) (*answer, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	a := &answer{columns: columns, maps: maps}
	if a.types, err = maps.types(rows); err != nil {
		return nil, err
	}
	cells := make([]cell, len(columns))
	dest := make([]any, len(columns))
	for i := range dest {
		dest[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		for i := range cells {
			a.values = append(a.values, cells[i].v)
		}
		a.count++
	}
	return a, rows.Err()
}

// A cell takes a value as the driver gives it.
type cell struct{ v any }

// Scan keeps src, which is only lent if it is bytes.
func (c *cell) Scan(src any) error {
	if b, ok := src.([]byte); ok {
		src = bytes.Clone(b)
	}
	c.v = src
	return nil
}

// row returns the values of a row.
func (a *answer) row(i int) []driver.Value {
	return a.values[i*len(a.columns) : (i+1)*len(a.columns)]
}

// open returns the answer as database/sql's rows, which only a pool makes.
func (a *answer) open() (*sql.Rows, error) {
	db := sql.OpenDB(answerConn{a})
	rows, err := db.QueryContext(context.Background(), "")
	return rows, errors.Join(err, db.Close())
}

// Next gives out the next row. At the first one Bun has begun to write to
// wherever it reads them to.
func (a *answer) Next(dest []driver.Value) error {
	if a.next == 0 {
		a.to.begin()
	}
	a.watch.Gives()
	if a.next == a.count {
		a.to.end()
		return io.EOF
	}
	copy(dest, a.row(a.next))
	a.next++
	a.last = dest
	a.maps.convert(dest)
	return nil
}

// Close ends the reading, which has failed if it is not at its end.
func (a *answer) Close() error {
	a.watch.Stop()
	a.to.abandon()
	return nil
}

// Columns returns the names of the columns.
func (a *answer) Columns() []string { return a.columns }

// An answerConn is a connection that knows one answer, and what connects to it.
type answerConn struct{ a *answer }

var errOneAnswer = errors.New("a connection that knows one answer")

func (c answerConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return c.a, nil
}

func (c answerConn) Connect(context.Context) (driver.Conn, error) { return c, nil }

func (answerConn) Driver() driver.Driver { return nil }

func (answerConn) Prepare(string) (driver.Stmt, error) { return nil, errOneAnswer }
func (answerConn) Begin() (driver.Tx, error)           { return nil, errOneAnswer }
func (answerConn) Close() error                        { return nil }
