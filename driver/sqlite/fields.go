package sqlite

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// A describer is the dialect that describes tables: Bun's, with its fields
// cured.
type describer struct{ *sqlitedialect.Dialect }

// OnTable is called with each table that Bun has read from a Go type.
func (d describer) OnTable(t *schema.Table) {
	d.Dialect.OnTable(t)
	for _, f := range t.FieldMap {
		if !f.Tag.HasOption("msgpack") {
			cure(f)
		}
	}
}

// OnFields implements [wire.FieldsObserver]: it looks at what is written in the end.
func (describer) OnFields(t *schema.Table) {
	for _, f := range t.FieldMap {
		if !f.Tag.HasOption("msgpack") {
			keepDigits(f)
		}
	}
}

func cure(f *schema.Field) {
	typ := fields.TypeOf(f)
	switch kind := typ.Kind(); {
	case nullableFloats[typ]:
		fields.SetAppend(f, appendNullableFloat)
	case typ == reflect.TypeFor[time.Time]() && strings.EqualFold(f.UserSQLType, "date"):
		fields.SetAppend(f, appendDay)
	case fields.WritesItself(typ):
	case kind == reflect.Float32 || kind == reflect.Float64:
		fields.SetAppend(f, appendFloat)
	case kind == reflect.Uint:
		fields.SetAppend(f, appendUint)
	}
}

var nullableFloats = map[reflect.Type]bool{
	reflect.TypeFor[sql.NullFloat64]():   true,
	reflect.TypeFor[sql.Null[float64]](): true,
	reflect.TypeFor[sql.Null[float32]](): true,
}

// appendNullableFloat appends a struct of a number and whether it is one. As
// what its Value method returns, the number has 64 bits.
func appendNullableFloat(_ schema.QueryGen, b []byte, v reflect.Value) []byte {
	if !v.Field(1).Bool() {
		return bundialect.AppendNull(b)
	}
	return appendNumber(b, v.Field(0).Float(), 64)
}

func appendFloat(_ schema.QueryGen, b []byte, v reflect.Value) []byte {
	return appendNumber(b, v.Float(), v.Type().Bits())
}

// appendNumber appends a number with an exponent. Without one, SQLite takes a
// whole number for an integer, to which it compares exactly: the digits of a
// large one say which float it is, and not what its value is.
func appendNumber(b []byte, n float64, bits int) []byte {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return bundialect.AppendFloat64(b, n)
	}
	if n < 0 && len(b) > 0 && b[len(b)-1] == '-' {
		b = append(b, ' ') // Two would begin a comment.
	}
	return strconv.AppendFloat(b, n, 'e', -1, bits)
}

func appendUint(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
	return gen.Dialect().AppendUint64(b, v.Uint())
}

// appendDay appends the day of a time, in UTC as on the other databases.
func appendDay(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
	at, _ := reflect.TypeAssert[time.Time](v)
	return gen.Dialect().AppendTime(b, at.UTC().Truncate(24*time.Hour))
}

// CheckNamedValue makes of a bound argument what modernc.org/sqlite takes, and
// writes a time as the dialect does, unless the URL asks for another format.
func (c *conn) CheckNamedValue(arg *sqldriver.NamedValue) error {
	value, err := sqldriver.DefaultParameterConverter.ConvertValue(arg.Value)
	if err != nil {
		return err
	}
	arg.Value = value
	at, isTime := value.(time.Time)
	if !isTime || !c.n.set.plainTimes() {
		return nil
	}
	at = at.UTC()
	if year := at.Year(); year < 0 || year > 9999 {
		return errYear
	}
	arg.Value = at.Format(timeFormat(at))
	return nil
}
