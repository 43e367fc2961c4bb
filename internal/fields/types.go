package fields

import (
	"database/sql"
	"encoding"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"

	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqltype"
	"github.com/uptrace/bun/schema"
)

var rawJSONType = reflect.TypeFor[json.RawMessage]()

// nullTypes are what Bun takes for structs, and so for JSON. It knows the
// others of database/sql.
var nullTypes = map[reflect.Type]reflect.Type{
	reflect.TypeFor[sql.NullInt32](): reflect.TypeFor[int32](),
	reflect.TypeFor[sql.NullInt16](): reflect.TypeFor[int16](),
	reflect.TypeFor[sql.NullByte]():  reflect.TypeFor[byte](),
}

// unwrapNulls makes fields of nullable types look like those of the types
// inside. It returns the types that they have.
func unwrapNulls(t *schema.Table) map[*schema.Field]reflect.Type {
	var hidden map[*schema.Field]reflect.Type
	for _, f := range t.FieldMap {
		inside := insideNull(f.IndirectType)
		if f.Tag.HasOption("msgpack") {
			inside = reflect.TypeFor[[]byte]()
		}
		if inside == nil {
			continue
		}
		if hidden == nil {
			hidden = make(map[*schema.Field]reflect.Type)
		}
		hidden[f] = f.IndirectType
		f.IndirectType = inside
		f.DiscoveredSQLType = schema.DiscoverSQLType(inside)
	}
	return hidden
}

// insideNull returns the T of a [sql.Null] or its like, or nil.
func insideNull(typ reflect.Type) reflect.Type {
	if inside := nullTypes[typ]; inside != nil {
		return inside
	}
	if typ.PkgPath() != "database/sql" || !strings.HasPrefix(typ.Name(), "Null[") {
		return nil
	}
	v, _ := typ.FieldByName("V")
	return v.Type
}

// appendJSONBytes appends JSON that is there already. Bun's own encodes it once
// more, as encoding/json encodes bytes: in base64.
func appendJSONBytes(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return dialect.AppendNull(b)
	}
	return gen.Dialect().AppendJSON(b, v.Bytes())
}

// cureByteArray has an array of bytes read, and gives it its column type, where
// Bun knows none. One that has a form as text, as a UUID has, goes by that in a
// column that is declared to be another one than of bytes.
func cureByteArray(f *schema.Field) {
	typ := f.IndirectType
	switch isText := textOf(typ) && f.UserSQLType != "" && !isBinary(f.UserSQLType); {
	case isStandardUUID(typ):
		return // Bun knows it.
	case isText:
		SetAppend(f, appendText)
		if !Reads(typ) {
			SetScan(f, scanText)
		}
		return
	case !Reads(typ):
		SetScan(f, scanByteArray)
	}
	if f.DiscoveredSQLType == "" {
		f.DiscoveredSQLType = sqltype.Blob
		if f.Table.Dialect().Name() == dialect.MySQL {
			f.DiscoveredSQLType = binaryOf(typ.Len())
		}
	}
}

// isStandardUUID reports whether a type is that of the standard library, which
// came with Go 1.27.
func isStandardUUID(typ reflect.Type) bool { return typ.PkgPath() == "uuid" && typ.Name() == "UUID" }

// textOf reports whether values of a type have a form as text.
func textOf(typ reflect.Type) bool {
	ptr := reflect.PointerTo(typ)
	return ptr.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && ptr.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isBinary reports whether a column of an SQL type holds bytes.
func isBinary(sqlType string) bool {
	name, _, _ := strings.Cut(strings.ToLower(sqlType), "(")
	name = strings.TrimSpace(name)
	return name == "bytea" || name == "binary" || name == "varbinary" || strings.HasSuffix(name, "blob")
}

// binaryOf is the column of so many bytes on MySQL, which knows no binary of
// more than 255, and no key of more than 3072.
func binaryOf(n int) string {
	switch {
	case n <= 255:
		return fmt.Sprintf("binary(%d)", n)
	case n <= 3072:
		return fmt.Sprintf("varbinary(%d)", n)
	case n < 1<<16:
		return "blob"
	case n < 1<<24:
		return "mediumblob"
	}
	return "longblob"
}

// appendText appends the text that a value says it is.
func appendText(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
	ptr := reflect.New(v.Type())
	ptr.Elem().Set(v)
	m, _ := reflect.TypeAssert[encoding.TextMarshaler](ptr)
	text, err := m.MarshalText()
	if err != nil {
		return dialect.AppendError(b, err)
	}
	return gen.Dialect().AppendString(b, string(text))
}

// scanText reads an array of bytes from its text, or from the bytes themselves.
func scanText(dest reflect.Value, src any) error {
	var text []byte
	switch src := src.(type) {
	case []byte:
		text = src
	case string:
		text = []byte(src)
	default:
		return scanByteArray(dest, src)
	}
	u, _ := reflect.TypeAssert[encoding.TextUnmarshaler](dest.Addr())
	err := u.UnmarshalText(text)
	if err != nil && len(text) == dest.Len() {
		return scanByteArray(dest, text)
	}
	return err
}

// isUUID reports whether a type is what the packages of UUIDs have: 16 bytes, or a
// struct of them and a flag, that are written as text and read again.
func isUUID(typ reflect.Type) bool {
	if typ == nil || !WritesItself(typ) || !Reads(typ) {
		return false
	}
	if typ.Name() == "NullUUID" && typ.Kind() == reflect.Struct && typ.NumField() > 0 {
		typ = typ.Field(0).Type
	}
	return typ.Name() == "UUID" && typ.Kind() == reflect.Array && typ.Len() == 16 && typ.Elem().Kind() == reflect.Uint8
}

// cureUUID gives a field of UUIDs its column type, unless it was given one: Bun knows none
// for an array, and takes the struct for JSON.
func cureUUID(f *schema.Field) {
	if !isUUID(f.IndirectType) && !isUUID(insideNull(f.IndirectType)) {
		return
	}
	if _, given := f.Tag.Option("type"); given || f.Tag.HasOption("array") {
		return
	}
	f.DiscoveredSQLType = "char(36)"
	if f.Table.Dialect().Name() == dialect.PG {
		f.DiscoveredSQLType = "uuid"
	}
	f.UserSQLType = f.DiscoveredSQLType
}

// scanByteArray reads an array of bytes, which Bun writes as a slice of them
// and does not read.
func scanByteArray(dest reflect.Value, src any) error {
	var bytes []byte
	switch src := src.(type) {
	case nil:
		dest.SetZero()
		return nil
	case []byte:
		bytes = src
	case string:
		bytes = []byte(src)
	default:
		return fmt.Errorf("cannot scan a %T into %s", src, dest.Type())
	}
	if len(bytes) != dest.Len() {
		return fmt.Errorf("cannot scan %d bytes into %s", len(bytes), dest.Type())
	}
	reflect.Copy(dest, reflect.ValueOf(bytes))
	return nil
}

// unset is how the types of addresses print a value that is none. Bun writes
// that, and cannot read it.
var unset = map[reflect.Type]string{
	reflect.TypeFor[net.IP]():       "<nil>",
	reflect.TypeFor[net.IPNet]():    "<nil>",
	reflect.TypeFor[netip.Addr]():   "invalid IP",
	reflect.TypeFor[netip.Prefix](): "invalid Prefix",
}

func isAddress(typ reflect.Type) bool {
	_, ok := unset[typ]
	return ok
}

// cureAddress makes an address that is none NULL, and reads what stands for
// none since it was written in a map row or an argument.
func cureAddress(f *schema.Field) {
	write, read, none := schema.Appender(nil, f.IndirectType), schema.Scanner(f.IndirectType), unset[f.IndirectType]
	SetAppend(f, func(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
		if isUnset(v.Interface()) {
			return dialect.AppendNull(b)
		}
		return write(gen, b, v)
	})
	SetScan(f, func(dest reflect.Value, src any) error {
		if text, ok := src.(string); ok && text == none {
			src = nil
		} else if bytes, ok := src.([]byte); ok && string(bytes) == none {
			src = nil
		}
		return read(dest, src)
	})
}

func isUnset(address any) bool {
	switch a := address.(type) {
	case net.IP:
		return len(a) == 0
	case net.IPNet:
		return a.IP == nil
	case netip.Addr:
		return !a.IsValid()
	case netip.Prefix:
		return !a.IsValid()
	}
	return false
}
