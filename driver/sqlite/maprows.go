package sqlite

import (
	sqldriver "database/sql/driver"
	"regexp"
	"strconv"
	"strings"

	"github.com/echobun/echobun/internal/wire"
)

var (
	_ wire.MapRows = (*streamedRows)(nil)
	_ wire.MapRows = (*bufferedRows)(nil)
)

// MapColumns implements [wire.MapRows].
func (r *streamedRows) MapColumns() []wire.Convert {
	return mapColumns(r.Columns(), r.ColumnTypeDatabaseTypeName)
}

// MapColumns implements [wire.MapRows].
func (r *bufferedRows) MapColumns() []wire.Convert {
	return mapColumns(r.Columns(), r.ColumnTypeDatabaseTypeName)
}

var exactNumber = regexp.MustCompile(`^(?:NUMERIC|DECIMAL)\s*(?:\(\s*\d+\s*(?:,\s*(\d+)\s*)?\))?$`)

// mapColumns goes by the types that columns are declared with. A value that an
// expression has made has none, and stays what SQLite makes of it.
func mapColumns(names []string, declared func(int) string) []wire.Convert {
	columns := make([]wire.Convert, len(names))
	for i := range columns {
		columns[i] = mapColumn(strings.ToUpper(declared(i)))
	}
	return columns
}

func mapColumn(declared string) wire.Convert {
	if m := exactNumber.FindStringSubmatch(declared); m != nil {
		scale, _ := strconv.Atoi(m[1]) // Without one it is 0.
		return exact(scale)
	}
	name, _, _ := strings.Cut(declared, "(")
	switch strings.TrimSpace(name) {
	case "BOOLEAN", "BOOL":
		return wire.AsBool
	case "DATE", "DATETIME", "TIMESTAMP":
		return wire.AsUTC
	case "TIME":
		return wire.AsClock
	case "JSON", "JSONB":
		return wire.AsText
	case "REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT":
		return asReal
	}
	return nil
}

// exact makes a string of a number, with at least so many digits behind the
// point. SQLite keeps such numbers as it likes: 12.30 as a float of 12.3, and
// 12.345 in a NUMERIC(10,2), of which nothing is rounded off here.
func exact(scale int) wire.Convert {
	return func(v sqldriver.Value) sqldriver.Value {
		switch n := v.(type) {
		case float64:
			return withFraction(strconv.FormatFloat(n, 'f', -1, 64), scale)
		case int64:
			return withFraction(strconv.FormatInt(n, 10), scale)
		}
		return wire.AsText(v)
	}
}

func withFraction(number string, scale int) string {
	_, fraction, point := strings.Cut(number, ".")
	if missing := scale - len(fraction); missing > 0 && !strings.HasSuffix(number, "Inf") {
		if !point {
			number += "."
		}
		number += strings.Repeat("0", missing)
	}
	return number
}

// asReal makes a float64 of a whole number that was written by somebody else.
func asReal(v sqldriver.Value) sqldriver.Value {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}
