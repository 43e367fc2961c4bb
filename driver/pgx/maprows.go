package pgx

import (
	sqldriver "database/sql/driver"

	"github.com/echobun/echobun/internal/wire"
)

var _ wire.MapRows = (*rows)(nil)

// MapColumns implements [wire.MapRows].
func (r *rows) MapColumns() []wire.Convert {
	columns := make([]wire.Convert, len(r.Columns()))
	for i := range columns {
		switch r.ColumnTypeDatabaseTypeName(i) {
		case "DATE", "TIMESTAMP", "TIMESTAMPTZ":
			columns[i] = wire.AsUTC
		case "FLOAT4":
			columns[i] = asSingle
		case "BYTEA":
		default:
			columns[i] = wire.AsText
		}
	}
	return columns
}

// asSingle is for numbers of single precision, which pgx gives as a float64.
func asSingle(v sqldriver.Value) sqldriver.Value {
	if double, ok := v.(float64); ok {
		return wire.AsDouble(float32(double))
	}
	return v
}
