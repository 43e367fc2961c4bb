package pgx

import (
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// A describer is the dialect that describes tables: Bun's, with its fields
// cured.
type describer struct{ *pgdialect.Dialect }

// OnTable is called with each table that Bun has read from a Go type.
func (d describer) OnTable(t *schema.Table) {
	for _, f := range t.FieldMap {
		if f.UserSQLType == "" {
			f.UserSQLType = addressTypes[f.IndirectType]
		}
	}
	d.Dialect.OnTable(t)
	for _, f := range t.FieldMap {
		if !f.Tag.HasOption("msgpack") && !f.Tag.HasOption("multirange") {
			cure(f)
		}
	}
}

// addressTypes are the columns of types that Bun takes for JSON, which it does
// not write.
var addressTypes = map[reflect.Type]string{
	reflect.TypeFor[netip.Addr]():   "INET",
	reflect.TypeFor[netip.Prefix](): "CIDR",
}

func cure(f *schema.Field) {
	typ := fields.TypeOf(f)
	switch kind := typ.Kind(); {
	case isArray(f):
		cureArray(f)
	case fields.WritesItself(typ):
	case fields.IsBytes(typ) && isText(f.UserSQLType):
		fields.SetAppend(f, appendBytesAsText)
	case kind == reflect.Float32 || kind == reflect.Float64:
		fields.SetAppend(f, appendFloat)
	}
}

func isArray(f *schema.Field) bool {
	return f.Tag.HasOption("array") || strings.HasSuffix(f.UserSQLType, "[]")
}

// isText reports whether a column of an SQL type holds text.
func isText(sqlType string) bool {
	name, _, _ := strings.Cut(strings.ToLower(sqlType), "(")
	switch strings.TrimSpace(name) {
	case "text", "varchar", "character varying", "char", "character", "bpchar", "citext", "name", "xml":
		return true
	}
	return false
}

func appendBytesAsText(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return bundialect.AppendNull(b)
	}
	return gen.Dialect().AppendString(b, string(v.Bytes()))
}

// appendFloat appends a number in quotes, so that it is one of the column's
// type from the start: a bare 0.1 is a numeric, which no real is equal to, and
// which a column of integers rounds.
func appendFloat(_ schema.QueryGen, b []byte, v reflect.Value) []byte {
	b = append(b, '\'')
	b = strconv.AppendFloat(b, v.Float(), floatFormat(v.Float()), -1, v.Type().Bits())
	return append(b, '\'')
}

// floatFormat is that of a number without an exponent, which a column of
// integers or of money does not take, unless it has more digits than those.
func floatFormat(v float64) byte {
	if math.Abs(v) < 1e21 {
		return 'f'
	}
	return 'g'
}
