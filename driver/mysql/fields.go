package mysql

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"
	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// base is Bun's dialect as the registry of tables knows it.
type base struct{ *mysqldialect.Dialect }

// OnTable is called by Bun with each table that it has built. It makes of the
// fields what keeps their values.
func (b base) OnTable(t *schema.Table) {
	b.Dialect.OnTable(t)
	for _, f := range t.FieldMap {
		keepFraction(f)
		keepPrecision(f)
		keepBits(f)
		keepFinite(f)
	}
}

// timeTypes are the Go types of a time, behind a pointer or not.
var timeTypes = map[reflect.Type]bool{
	reflect.TypeFor[time.Time]():           true,
	reflect.TypeFor[sql.NullTime]():        true,
	reflect.TypeFor[bun.NullTime]():        true,
	reflect.TypeFor[sql.Null[time.Time]](): true,
}

var (
	timeColumn = regexp.MustCompile(`(?i)^\s*(datetime|timestamp)\b\s*(?:\(\s*(\d)\s*\))?`)
	// nowCall is a call for the current time, or something in quotes.
	nowCall = regexp.MustCompile("(?is)'(?:[^'\\\\]|\\\\.|'')*'|\"(?:[^\"\\\\]|\\\\.|\"\")*\"|`[^`]*`|" +
		`\b(?:(?:current_timestamp|localtimestamp|localtime)\b(?:\s*\(\s*\d*\s*\))?|now\s*\(\s*\d*\s*\))`)
)

// keepFraction gives the column of a time six digits behind the second, as
// other databases have them and a Table of echobun does. Bun says DATETIME, which
// rounds to the whole second; whoever wants that writes datetime(0). The current
// time, as a default or ON UPDATE, has to have as many, also where the type
// says so.
func keepFraction(f *schema.Field) {
	column := f.UserSQLType
	if column == "" && timeTypes[f.IndirectType] {
		f.DiscoveredSQLType, column = "DATETIME", "datetime"
	}
	parts := timeColumn.FindStringSubmatch(column)
	if parts == nil {
		return
	}
	digits, rest := parts[2], column[len(parts[0]):]
	if digits == "" && timeTypes[f.IndirectType] {
		digits = "6"
		f.CreateTableSQLType = strings.ToLower(parts[1]) + "(6)" + nowWith(rest, digits)
	} else if with := nowWith(rest, digits); with != rest {
		f.CreateTableSQLType = parts[0] + with
	}
	f.SQLDefault = nowWith(f.SQLDefault, digits)
}

// nowWith gives the current time in a default so many digits, which have to be
// those of its column.
func nowWith(expr, digits string) string {
	if digits == "" || digits == "0" {
		return expr
	}
	return nowCall.ReplaceAllStringFunc(expr, func(call string) string {
		if strings.ContainsAny(call, "'\"`0123456789") {
			return call
		}
		return "CURRENT_TIMESTAMP(" + digits + ")"
	})
}

var bitColumn = regexp.MustCompile(`(?i)^\s*bit\b`)

// keepBits reads the bytes that the server sends of a BIT. Bun takes them for
// the digits of a number, so that 49 of a bit(8) would be a 1.
func keepBits(f *schema.Field) {
	scan, declared := f.Scan, bitColumn.MatchString(f.UserSQLType)
	switch kind := f.IndirectType.Kind(); {
	case scan == nil:
	case kind == reflect.Bool, f.IndirectType == reflect.TypeFor[sql.NullBool](), f.IndirectType == reflect.TypeFor[sql.Null[bool]]():
		f.Scan = func(dest reflect.Value, src any) error {
			if b, ok := src.([]byte); ok && len(b) == 1 && b[0] <= 1 {
				src = int64(b[0])
			}
			return scan(dest, src)
		}
	case declared && reflect.Int <= kind && kind <= reflect.Uint64:
		f.Scan = func(dest reflect.Value, src any) error { return scan(dest, bitNumber(src)) }
	}
}

// bitNumber returns the number that a BIT stands for.
func bitNumber(src any) any {
	b, ok := src.([]byte)
	if !ok || len(b) > 8 {
		return src
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

var errNotFinite = errors.New("mysql: NaN and infinite numbers cannot be stored")

// keepFinite refuses what is no number here, which Bun writes as the text 'NaN':
// that is 0 outside of strict mode. A type that writes itself may make something
// else of it, or be of another kind and give one.
func keepFinite(f *schema.Field) {
	appendValue := f.Append
	if appendValue == nil || !mayBeFloat(f.IndirectType) {
		return
	}
	f.Append = func(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
		start := len(b)
		b = appendValue(gen, b, v)
		switch text := b[start:]; string(text) {
		case "'NaN'", "'Infinity'", "'-Infinity'":
			if writesFloat(v) {
				return bundialect.AppendError(b[:start], fmt.Errorf("%w: %s", errNotFinite, text))
			}
		}
		return b
	}
}

func mayBeFloat(typ reflect.Type) bool {
	switch typ.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Interface:
		return true
	}
	return fields.WritesItself(typ)
}

// writesFloat reports whether it is a float that a value is written as, and not
// a text.
func writesFloat(v reflect.Value) bool {
	if v.CanAddr() && v.Kind() != reflect.Pointer {
		v = v.Addr()
	}
	for v.IsValid() {
		if valuer, ok := reflect.TypeAssert[sqldriver.Valuer](v); ok {
			value, err := valuer.Value()
			v = reflect.ValueOf(value)
			return err == nil && v.IsValid() && v.CanFloat()
		}
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			break
		}
		v = v.Elem()
	}
	return v.IsValid() && v.CanFloat()
}
