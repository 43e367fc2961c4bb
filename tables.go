package echobun

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/echobun/echobun/driver"
)

// A Table declares a database table without a Go struct, as db.Table does in
// Flask-SQLAlchemy. Give a pointer to it to [Extension.Register] and to the
// Table method of a [Builder]; rows are maps, whose values have the same Go
// types on every database: see docs/map-rows.md.
//
// It is read when it is registered: changing its fields later has no effect.
// Names must match [A-Za-z_][A-Za-z0-9_$]* and have at most 63 bytes.
type Table struct {
	Name    string // Required.
	Schema  string // Default: the connection's.
	BindKey string // Default: the default bind.
	Columns []Column
	Indexes []Index

	of *declared // In the copies that Metadata gives out: what this is a copy of.
}

// A Column is a column of a [Table].
type Column struct {
	Name       string // Required.
	Type       Type   // Required.
	PrimaryKey bool   // Several make a composite key.
	// AutoIncrement lets the database number the rows. It needs an integer type.
	AutoIncrement bool
	NotNull       bool // A primary key always is.
	Unique        bool
	// Default is an SQL expression, used as it is: never make it from input.
	Default string
	// References makes a foreign key to "table.column", or
	// "schema.table.column", on the same bind.
	References string
}

// An Index is an index of a [Table].
type Index struct {
	Name    string // Default: ix_<table>_<columns>.
	Columns []string
	Unique  bool
}

// A Type is the type of a [Column]. The zero Type is none; use one of the
// variables and functions of this package.
type Type struct {
	kind string       // Of the portable types.
	sql  string       // Overrides what the dialect picks.
	goes reflect.Type // The Go type whose SQL type Bun's dialect picks.
}

// The portable types. The first six are what Bun's dialects pick for a Go
// field of that size. The others are, on PostgreSQL, MySQL and SQLite:
//
//	Text         text         longtext     text
//	LargeBinary  bytea        longblob     blob
//	Date         date         date         date
//	Time         time         time(6)      time
//	DateTime     timestamptz  datetime(6)  timestamp
//	JSON         jsonb        json         json
//	UUID         uuid         char(36)     char(36)
var (
	SmallInteger = Type{kind: "smallinteger", goes: reflect.TypeFor[int16]()}
	Integer      = Type{kind: "integer", goes: reflect.TypeFor[int32]()}
	BigInteger   = Type{kind: "biginteger", goes: reflect.TypeFor[int64]()}
	Boolean      = Type{kind: "boolean", goes: reflect.TypeFor[bool]()}
	Float        = Type{kind: "float", goes: reflect.TypeFor[float32]()}
	Double       = Type{kind: "double", goes: reflect.TypeFor[float64]()}
	Text         = Type{kind: "text", sql: "text"}
	LargeBinary  = Type{kind: "largebinary", sql: "blob"}
	Date         = Type{kind: "date", sql: "date"}
	Time         = Type{kind: "time", sql: "time"}
	DateTime     = Type{kind: "datetime", sql: "timestamp"}
	JSON         = Type{kind: "json", sql: "json"}
	UUID         = Type{kind: "uuid", sql: "char(36)"}
)

// Numeric is an exact number with p digits, s of them after the point.
func Numeric(p, s int) Type {
	if p < 1 || s < 0 || s > p {
		return Type{kind: fmt.Sprintf("numeric(%d,%d)", p, s)}
	}
	return Type{kind: "numeric", sql: fmt.Sprintf("numeric(%d,%d)", p, s)}
}

// String is a string of at most n characters.
func String(n int) Type {
	if n < 1 {
		return Type{kind: fmt.Sprintf("varchar(%d)", n)}
	}
	return Type{kind: "varchar", sql: fmt.Sprintf("varchar(%d)", n)}
}

// SQL is a type of one database in its own words, such as SQL("citext"). It
// is used as it is: never make it from input.
func SQL(name string) Type { return Type{kind: "sql", sql: strings.TrimSpace(name)} }

// String returns the type's name as messages show it.
func (t Type) String() string {
	if t.sql != "" {
		return t.sql
	}
	return t.kind
}

func (t Type) valid() bool { return t.sql != "" || t.goes != nil }

func (t Type) isInteger() bool {
	return t == SmallInteger || t == Integer || t == BigInteger
}

// goType returns the type of the field that stands for a column of t.
func (t Type) goType() reflect.Type {
	if t.goes != nil {
		return t.goes
	}
	return reflect.TypeFor[string]()
}

// sqlType returns the type's name on a driver's database; empty leaves the
// choice to Bun.
func (t Type) sqlType(drv driver.Driver) string {
	namer, ok := drv.(driver.TypeNamer)
	if !ok {
		return t.sql
	}
	switch t {
	case Text, LargeBinary, DateTime, JSON, UUID:
		return namer.TypeName(t.kind)
	case Time:
		if name := namer.TypeName(t.kind); name != "" {
			return name
		}
	}
	return t.sql
}

// clone returns a copy of t that shares nothing with it.
func (t *Table) clone() *Table {
	c := *t
	c.Columns = slices.Clone(t.Columns)
	c.Indexes = slices.Clone(t.Indexes)
	for i := range c.Indexes {
		c.Indexes[i].Columns = slices.Clone(t.Indexes[i].Columns)
	}
	return &c
}

// qualified returns the name with its schema, as Bun takes it.
func (t *Table) qualified() string {
	return fullName(driver.TableName{Schema: t.Schema, Name: t.Name})
}

// sameAs reports whether both tables say the same.
func (t *Table) sameAs(other *Table) bool {
	a, b := *t, *other
	a.of, b.of = nil, nil
	return reflect.DeepEqual(a, b)
}

// indexName returns the name of an index, the default one if it has none. A
// default that would be too long ends in a hash of itself.
func (t *Table) indexName(ix Index) string {
	if ix.Name != "" {
		return ix.Name
	}
	name := "ix_" + t.Name + "_" + strings.Join(ix.Columns, "_")
	return shorten(name)
}
