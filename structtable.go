package echobun

import (
	"errors"
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

	table := e.db.Table(reflect.StructOf(fields))
	nameTable(e, table, def)
	for i, c := range def.Columns {
		nameColumn(e, table, i, c)
	}
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

func nameTable(e *engine, table *schema.Table, def *Table) {
	table.Name = def.qualified()
	table.SQLName = quote(e, table.Name)
	table.SQLNameForSelects = table.SQLName
	table.Alias = def.Name
	table.SQLAlias = quote(e, def.Name)
}

func nameColumn(e *engine, table *schema.Table, i int, c Column) {
	placeholder := fmt.Sprintf("c%d", i)
	f := table.FieldMap[placeholder]
	delete(table.FieldMap, placeholder)
	table.FieldMap[c.Name] = f

	f.Name = c.Name
	f.SQLName = quote(e, c.Name)
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

func quote(e *engine, name string) schema.Safe {
	return schema.Safe(schema.NewQueryGen(e.db.Dialect()).AppendIdent(nil, name))
}

// checkTable returns all that is wrong with a table.
func checkTable(t *Table) []error {
	var errs []error
	if err := checkTableName(t); err != nil {
		errs = append(errs, err)
	}
	if len(t.Columns) == 0 {
		errs = append(errs, errors.New("no columns"))
	}
	names, increments := make(map[string]bool), 0
	for _, c := range t.Columns {
		if err := checkColumn(c); err != nil {
			errs = append(errs, err)
		}
		if names[strings.ToLower(c.Name)] {
			errs = append(errs, fmt.Errorf("column %q stands there twice", c.Name))
		}
		names[strings.ToLower(c.Name)] = true
		if c.AutoIncrement {
			increments++
		}
	}
	if increments > 1 {
		errs = append(errs, errors.New("more than one column with AutoIncrement"))
	}
	return append(errs, checkIndexes(t, names)...)
}

func checkTableName(t *Table) error {
	err := checkName("table", t.Name)
	if t.Schema != "" {
		err = errors.Join(err, checkName("schema", t.Schema))
	}
	return err
}

func checkColumn(c Column) error {
	if err := checkName("column", c.Name); err != nil {
		return err
	}
	switch {
	case !c.Type.valid() && c.Type.kind == "":
		return fmt.Errorf("column %q has no Type", c.Name)
	case !c.Type.valid():
		return fmt.Errorf("column %q: %s is no type", c.Name, c.Type)
	case c.AutoIncrement && !c.Type.isInteger():
		return fmt.Errorf("column %q: AutoIncrement needs SmallInteger, Integer or BigInteger and not %s", c.Name, c.Type)
	case c.AutoIncrement && !c.PrimaryKey:
		return fmt.Errorf("column %q: AutoIncrement needs PrimaryKey", c.Name)
	}
	return checkReference(c)
}

func checkReference(c Column) error {
	if c.References == "" {
		return nil
	}
	parent, column := splitName(c.References)
	parentSchema, parentTable := splitName(parent)
	err := errors.Join(checkName("table", parentTable), checkName("column", column))
	if parentSchema != "" {
		err = errors.Join(err, checkName("schema", parentSchema))
	}
	if err != nil {
		return fmt.Errorf("column %q: References %q is not \"table.column\": %w", c.Name, c.References, err)
	}
	return nil
}

func checkIndexes(t *Table, columns map[string]bool) []error {
	var errs []error
	names := make(map[string]bool)
	for _, ix := range t.Indexes {
		name := t.indexName(ix)
		if err := checkName("index", name); err != nil {
			errs = append(errs, err)
		}
		if names[strings.ToLower(name)] {
			errs = append(errs, fmt.Errorf("index %q stands there twice", name))
		}
		names[strings.ToLower(name)] = true
		if len(ix.Columns) == 0 {
			errs = append(errs, fmt.Errorf("index %q has no columns", name))
		}
		for _, c := range ix.Columns {
			if !columns[strings.ToLower(c)] {
				errs = append(errs, fmt.Errorf("index %q: the table has no column %q", name, c))
			}
		}
	}
	return errs
}
