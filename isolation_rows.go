package echobun

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"

	"github.com/echobun/echobun/internal/wire"
)

// execAny runs a statement, prepared if the driver wants it so.
func (c *conn) execAny(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.ExecContext(ctx, query, args)
	if !errors.Is(err, driver.ErrSkip) {
		return res, err
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	res, err = execStmt(ctx, s, args)
	return res, c.e.wrap(operation(query), errors.Join(err, s.Close()))
}

// queryAny is execAny for a query. Its rows are read to the end, so that the
// connection is free again.
func (c *conn) queryAny(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.QueryContext(ctx, query, args)
	if !errors.Is(err, driver.ErrSkip) {
		if err != nil {
			return nil, err
		}
		return readAll(rows)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	inner, err := queryStmt(ctx, s, args)
	if err == nil {
		inner, err = readAll(c.newRows(query, inner))
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	return inner, nil
}

// memoryRows are rows that were read to their end.
type memoryRows struct {
	sets []resultSet
	next int // Of the current set.
}

// A resultSet is what a driver says of one result.
type resultSet struct {
	columns []string
	types   []columnType
	rows    [][]driver.Value
	maps    []wire.Convert // What makes of its values those of a map.
}

type columnType struct {
	scan             reflect.Type
	name             string
	length           int64
	hasLength        bool
	nullable         bool
	knowsNullable    bool
	precision, scale int64
	hasPrecision     bool
}

var (
	_ driver.RowsNextResultSet              = (*memoryRows)(nil)
	_ driver.RowsColumnTypeScanType         = (*memoryRows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*memoryRows)(nil)
	_ driver.RowsColumnTypeLength           = (*memoryRows)(nil)
	_ driver.RowsColumnTypeNullable         = (*memoryRows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*memoryRows)(nil)
	_ wire.MapRows                          = (*memoryRows)(nil)
)

// readAll reads rows into memory and closes them.
func readAll(dr driver.Rows) (driver.Rows, error) {
	r, ok := dr.(*rows)
	if !ok {
		return nil, errors.Join(errors.New("echobun: rows of an unknown kind"), dr.Close())
	}
	set, err := readSet(r)
	m := &memoryRows{sets: []resultSet{set}}
	if err == nil {
		err = m.readMore(r)
	}
	if err != nil {
		return nil, joinBehind(err, r.Close())
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return m, nil
}

// readMore reads the results behind the first one.
func (m *memoryRows) readMore(r *rows) error {
	for r.HasNextResultSet() {
		err := r.NextResultSet()
		if errors.Is(err, io.EOF) {
			return nil // The answer to a CALL itself, after its results.
		}
		if err != nil {
			return err
		}
		set, err := readSet(r)
		if err != nil {
			return err
		}
		m.sets = append(m.sets, set)
	}
	return nil
}

func readSet(r *rows) (resultSet, error) {
	set := resultSet{columns: r.Columns()}
	for i := range set.columns {
		var t columnType
		t.scan, t.name = r.ColumnTypeScanType(i), r.ColumnTypeDatabaseTypeName(i)
		t.length, t.hasLength = r.ColumnTypeLength(i)
		t.nullable, t.knowsNullable = r.ColumnTypeNullable(i)
		t.precision, t.scale, t.hasPrecision = r.ColumnTypePrecisionScale(i)
		set.types = append(set.types, t)
	}
	if inner, ok := r.inner.(wire.MapRows); ok {
		set.maps = inner.MapColumns()
	}
	row := make([]driver.Value, len(set.columns))
	for {
		err := r.Next(row)
		if err == io.EOF { //nolint:errorlint // Compared as database/sql does.
			return set, nil
		}
		if err != nil {
			return resultSet{}, err
		}
		set.rows = append(set.rows, cloneValues(row))
	}
}

func (m *memoryRows) Columns() []string { return m.sets[0].columns }

func (m *memoryRows) Close() error { return nil }

func (m *memoryRows) Next(dest []driver.Value) error {
	if m.next == len(m.sets[0].rows) {
		return io.EOF
	}
	copy(dest, m.sets[0].rows[m.next])
	m.next++
	return nil
}

func (m *memoryRows) HasNextResultSet() bool { return len(m.sets) > 1 }

func (m *memoryRows) NextResultSet() error {
	if !m.HasNextResultSet() {
		return io.EOF
	}
	m.sets, m.next = m.sets[1:], 0
	return nil
}

// MapColumns implements [wire.MapRows].
func (m *memoryRows) MapColumns() []wire.Convert { return m.sets[0].maps }

func (m *memoryRows) ColumnTypeScanType(i int) reflect.Type { return m.sets[0].types[i].scan }

func (m *memoryRows) ColumnTypeDatabaseTypeName(i int) string { return m.sets[0].types[i].name }

func (m *memoryRows) ColumnTypeLength(i int) (int64, bool) {
	return m.sets[0].types[i].length, m.sets[0].types[i].hasLength
}

func (m *memoryRows) ColumnTypeNullable(i int) (nullable, known bool) {
	return m.sets[0].types[i].nullable, m.sets[0].types[i].knowsNullable
}

func (m *memoryRows) ColumnTypePrecisionScale(i int) (precision, scale int64, known bool) {
	t := m.sets[0].types[i]
	return t.precision, t.scale, t.hasPrecision
}

// cloneValues copies a row, whose bytes are the driver's.
func cloneValues(row []driver.Value) []driver.Value {
	row = slices.Clone(row)
	for i, v := range row {
		if b, ok := v.([]byte); ok {
			row[i] = slices.Clone(b)
		}
	}
	return row
}
