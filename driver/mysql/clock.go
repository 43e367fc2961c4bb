package mysql

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"

	"github.com/uptrace/bun/schema"
)

var clockOrFloat = regexp.MustCompile(`(?i)^\s*(float|time)\b(\s*\()?`)

// keepPrecision gives a column without digits in its type what other databases
// understand by it: a TIME has six digits behind the second, where MySQL rounds
// to the whole one, and a FLOAT is as precise as a float64, where MySQL answers
// six digits of it.
func keepPrecision(f *schema.Field) {
	parts := clockOrFloat.FindStringSubmatch(f.UserSQLType)
	if parts == nil || parts[2] != "" {
		return
	}
	rest := f.UserSQLType[len(parts[0]):]
	switch strings.ToLower(parts[1]) {
	case "float":
		f.CreateTableSQLType = "double" + rest
	case "time":
		f.CreateTableSQLType = "time(6)" + rest
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
