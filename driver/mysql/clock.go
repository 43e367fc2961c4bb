package mysql

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/uptrace/bun/schema"
)

// keepPrecision gives a column without digits in its type what other databases
// understand by it: a TIME has six digits behind the second, where MySQL rounds
// to the whole one, and a FLOAT is as precise as a float64, where MySQL answers
// six digits of it.
func keepPrecision(f *schema.Field) {
	switch strings.ToLower(strings.TrimSpace(f.UserSQLType)) {
	case "float":
		f.CreateTableSQLType = "double"
	case "time":
		f.CreateTableSQLType = "time(6)"
		if scan := f.Scan; scan != nil && f.IndirectType.Kind() == reflect.String {
			f.Scan = func(dest reflect.Value, src any) error { return scan(dest, shortClock(src)) }
		}
	}
}

// shortClock leaves out the zeros at the end of a fraction, of which the server
// sends as many as fit into the column.
func shortClock(src any) any {
	if b, ok := src.([]byte); ok && bytes.IndexByte(b, '.') >= 0 {
		return bytes.TrimRight(bytes.TrimRight(b, "0"), ".")
	}
	return src
}
