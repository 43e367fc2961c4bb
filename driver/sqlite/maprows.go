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
		scale, err := strconv.Atoi(m[1])
		if err != nil {
			scale = -1
		}
		if m[1] == "" && strings.Contains(declared, "(") {
			scale = 0
		}
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
	case "JSON":
		return exact(-1) // SQLite keeps a number in it as one.
	case "REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT":
		return asReal
	}
	return nil
}

// exact makes a string of a number, with so many digits behind the point; with
// as many as it needs if scale is negative. SQLite keeps such numbers as it
// likes: 12.30 as a float of 12.3.
func exact(scale int) wire.Convert {
	return func(v sqldriver.Value) sqldriver.Value {
		switch n := v.(type) {
		case float64:
			return strconv.FormatFloat(n, 'f', scale, 64)
		case int64:
			text := strconv.FormatInt(n, 10)
			if scale > 0 {
				text += "." + strings.Repeat("0", scale)
			}
			return text
		}
		return wire.AsText(v)
	}
}

// asReal makes a float64 of a whole number that was written by somebody else.
func asReal(v sqldriver.Value) sqldriver.Value {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}
