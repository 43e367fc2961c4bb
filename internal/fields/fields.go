// Package fields cures how Bun writes and reads fields of some types, alike on
// every database. It does so once for each field, when Bun describes a table:
// other fields are as fast as they were.
//
// A value in a map row or an argument has no field, and is written by its Go
// type alone.
package fields

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"reflect"
	"strings"

	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqltype"
	"github.com/uptrace/bun/schema"
)

var (
	valuerType   = reflect.TypeFor[sqldriver.Valuer]()
	scannerType  = reflect.TypeFor[sql.Scanner]()
	appenderType = reflect.TypeFor[schema.QueryAppender]()
)

// Describe has describe find the column types of a table's fields, and then
// cures the fields. To describe, a field of [sql.Null] is one of its T.
func Describe(t *schema.Table, describe func(*schema.Table)) {
	hidden := unwrapNulls(t)
	describe(t)
	for f, typ := range hidden {
		f.IndirectType = typ
	}
	for _, f := range t.FieldMap {
		if f.Tag.HasOption("msgpack") {
			cureMsgpack(f)
		} else {
			cure(f)
		}
	}
}

func cure(f *schema.Field) {
	cureUUID(f)
	switch typ := f.IndirectType; {
	case isAddress(typ):
		cureAddress(f)
	case isFloat(typ) && !Reads(typ):
		cureFloat(f)
	case WritesItself(typ):
		if isByteArray(typ) && textOf(typ) && !Reads(typ) && !isStandardUUID(typ) {
			SetScan(f, scanText)
		}
	case isArrayColumn(f):
	case IsBytes(typ) && isJSON(f):
		SetAppend(f, appendJSONBytes)
	case isByteArray(typ):
		cureByteArray(f)
	}
}

func isFloat(typ reflect.Type) bool {
	return typ.Kind() == reflect.Float32 || typ.Kind() == reflect.Float64
}

// isArrayColumn reports whether a field is an array of PostgreSQL's, whatever
// its elements are.
func isArrayColumn(f *schema.Field) bool {
	return f.Table.Dialect().Name() == dialect.PG && (f.Tag.HasOption("array") || strings.HasSuffix(f.UserSQLType, "[]"))
}

func isByteArray(typ reflect.Type) bool {
	return typ.Kind() == reflect.Array && typ.Elem().Kind() == reflect.Uint8
}

// TypeOf returns the type of a field, or what it points to. While its table is
// described, this is not what the field itself says: see [Describe].
func TypeOf(f *schema.Field) reflect.Type {
	if f.IsPtr {
		return f.StructField.Type.Elem()
	}
	return f.StructField.Type
}

// WritesItself reports whether values of a type, or pointers to them, have a
// method that says how they are written.
func WritesItself(typ reflect.Type) bool {
	ptr := reflect.PointerTo(typ)
	return ptr.Implements(valuerType) || ptr.Implements(appenderType)
}

// Reads reports whether pointers to a type have a method that reads a value.
func Reads(typ reflect.Type) bool { return reflect.PointerTo(typ).Implements(scannerType) }

// IsBytes reports whether a type is a slice of bytes. Bun writes JSON that is
// raw in its own way.
func IsBytes(typ reflect.Type) bool {
	return typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8 && typ != rawJSONType
}

// isJSON reports whether a column was asked to be JSON. Bun goes by the same.
func isJSON(f *schema.Field) bool {
	return strings.EqualFold(f.UserSQLType, sqltype.JSON) || strings.EqualFold(f.UserSQLType, sqltype.JSONB)
}

// SetAppend sets how a field is written, given how a value of its type is that
// is no pointer.
func SetAppend(f *schema.Field, fn schema.AppenderFunc) {
	if f.IsPtr {
		fn = schema.PtrAppender(fn)
	}
	f.Append = fn
}

// SetScan sets how a field is read, given how a value of its type is that is
// no pointer.
func SetScan(f *schema.Field, fn schema.ScannerFunc) {
	if f.IsPtr {
		fn = schema.PtrScanner(fn)
	}
	f.Scan = fn
}
