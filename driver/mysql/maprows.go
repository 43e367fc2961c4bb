package mysql

import (
	sqldriver "database/sql/driver"
	"reflect"

	"github.com/echobun/echobun/internal/wire"
)

var _ wire.MapRows = (*rows)(nil)

// MapColumns implements [wire.MapRows].
func (r *rows) MapColumns() []wire.Convert {
	columns := make([]wire.Convert, len(r.Columns()))
	for i := range columns {
		columns[i] = r.mapColumn(i)
	}
	return columns
}

func (r *rows) mapColumn(i int) wire.Convert {
	switch r.ColumnTypeDatabaseTypeName(i) {
	case "TINYINT":
		if r.width(i) == 1 {
			return wire.AsBool
		}
	case "BIT":
		if r.width(i) == 1 {
			return bitAsBool
		}
	case "DECIMAL", "CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET", "JSON":
		return wire.AsText
	case "FLOAT":
		return wire.AsDouble
	case "TIME":
		return wire.AsClock
	case "DATE", "DATETIME", "TIMESTAMP":
		return dateAsUTC
	}
	return nil
}

// dateAsUTC is for times, which are texts with parseTime=false.
func dateAsUTC(v sqldriver.Value) sqldriver.Value { return wire.AsUTC(wire.AsText(v)) }

func bitAsBool(v sqldriver.Value) sqldriver.Value { return wire.AsBool(asNumber(v)) }

// asNumber makes an int64 of the byte of a bit(1).
func asNumber(v sqldriver.Value) sqldriver.Value {
	if b, ok := v.([]byte); ok && len(b) == 1 {
		return int64(b[0])
	}
	return v
}

// width returns how wide a column is. A BOOLEAN is a tinyint of width 1.
// Go-sql-driver keeps the width in fields that it does not export, and reading
// them needs neither unsafe nor a copy.
func (r *rows) width(i int) uint64 {
	inner := reflect.Indirect(reflect.ValueOf(r.innerRows))
	if inner.Kind() != reflect.Struct {
		return 0
	}
	set := inner.FieldByName("rs")
	if set.Kind() != reflect.Struct {
		return 0
	}
	columns := set.FieldByName("columns")
	if columns.Kind() != reflect.Slice || i >= columns.Len() {
		return 0
	}
	if length := columns.Index(i).FieldByName("length"); length.IsValid() && length.CanUint() {
		return length.Uint()
	}
	return 0
}
