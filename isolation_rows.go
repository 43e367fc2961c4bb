package echobun

import (
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

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
)

// readAll reads rows into memory and closes them.
func readAll(dr driver.Rows) (driver.Rows, error) {
	r, ok := dr.(*rows)
	if !ok {
		return nil, errors.Join(errors.New("echobun: rows of an unknown kind"), dr.Close())
	}
	m := &memoryRows{}
	for {
		set, err := readSet(r)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		m.sets = append(m.sets, set)
		if !r.HasNextResultSet() {
			break
		}
		if err := r.NextResultSet(); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	return m, nil
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
