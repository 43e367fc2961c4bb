package echobun

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// structs counts the struct types that stand for Tables.
var structs atomic.Int64

// structTable gives Bun a table without a struct: it makes a struct type with
// a field for each column and lets the engine's dialect pick the SQL types.
//
// Struct tags are no safe place for names and expressions, so the tags hold
// placeholders and the real ones are set in what Bun made of them. It needs
// the extension's mu.
func structTable(e *engine, def *Table) *schema.Table {
	fields := []reflect.StructField{{
		Name: "BaseModel", Anonymous: true, Type: reflect.TypeFor[bun.BaseModel](),
		// Types of the same shape are one type in Go; the number keeps two
		// tables apart, whose engines may share a dialect.
		Tag: reflect.StructTag(fmt.Sprintf(`bun:"table:echobun_%d"`, structs.Add(1))),
	}}
	for i, c := range def.Columns {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("C%d", i),
			Type: c.Type.goType(),
			Tag:  columnTag(i, c),
		})
	}

	typ := reflect.StructOf(fields)
	if e.observed {
		e.naming.Store(typ, def)
		return e.db.Table(typ)
	}
	table := e.db.Table(typ)
	nameTable(e, table, def)
	return table
}

func columnTag(i int, c Column) reflect.StructTag {
	tag := []string{fmt.Sprintf("c%d", i)}
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"pk", c.PrimaryKey},
		{"autoincrement", c.AutoIncrement},
		{"notnull", c.NotNull},
		{"unique", c.Unique},
	} {
		if option.set {
			tag = append(tag, option.name)
		}
	}
	return reflect.StructTag(`bun:"` + strings.Join(tag, ",") + `"`)
}

// nameTable replaces the placeholders in what Bun made of a Table.
func nameTable(e *engine, table *schema.Table, def *Table) {
	table.Name = def.qualified()
	table.SQLName = quote(table, table.Name)
	table.SQLNameForSelects = table.SQLName
	table.Alias = def.Name
	table.SQLAlias = quote(table, def.Name)
	for i, c := range def.Columns {
		nameColumn(e, table, i, c)
	}
}

func nameColumn(e *engine, table *schema.Table, i int, c Column) {
	placeholder := fmt.Sprintf("c%d", i)
	f := table.FieldMap[placeholder]
	delete(table.FieldMap, placeholder)
	table.FieldMap[c.Name] = f

	f.Name = c.Name
	f.SQLName = quote(table, c.Name)
	f.SQLDefault = defaultExpr(e, c)
	if sqlType := c.Type.sqlType(e.drv); sqlType != "" {
		f.CreateTableSQLType = sqlType
	}
}

// defaultExpr returns the default of a column on the engine's database.
func defaultExpr(e *engine, c Column) string {
	if d, ok := e.drv.(driver.Defaulter); ok && c.Default != "" {
		return d.DefaultExpr(c.Type.kind, c.Default)
	}
	return c.Default
}

func quote(table *schema.Table, name string) schema.Safe {
	return schema.Safe(schema.NewQueryGen(table.Dialect()).AppendIdent(nil, name))
}
