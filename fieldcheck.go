package echobun

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// checkValues returns an error that names the fields of a model that Bun cannot
// write or read, such as a channel: it panics at the first INSERT.
func checkValues(t *schema.Table) error {
	var errs []error
	for _, f := range t.Fields {
		if f.Append == nil || f.Scan == nil {
			errs = append(errs, fmt.Errorf("field %s: a %s is no value that a column can have: "+
				`leave it out with the tag bun:"-", or give it a type with Value and Scan`, f.GoName, f.StructField.Type))
		}
	}
	return errors.Join(errs...)
}

// checkType returns an error for a field that Bun knows no column type for: it
// writes none in CREATE TABLE, which is no SQL but on SQLite.
func checkType(e *engine, f *schema.Field) error {
	if f.CreateTableSQLType != "" || e.unmanaged || e.db.Dialect().Name() == dialect.SQLite {
		return nil
	}
	example := "json"
	if f.IndirectType.Kind() == reflect.Array {
		example = "uuid"
	}
	return fmt.Errorf(`field %s: nothing says which column type a %s has: give it one, as in the tag bun:"type:%s"`,
		f.GoName, f.StructField.Type, example)
}

// Options of Bun's tags, of a field's and of bun.BaseModel's.
var (
	fieldOptions = []string{
		"column", "alt", "type", "array", "hstore", "composite", "multirange", "json_use_number", "msgpack", "notnull",
		"nullzero", "default", "unique", "soft_delete", "scanonly", "skipupdate", "pk", "autoincrement", "rel", "join",
		"join_on", "on_update", "on_delete", "m2m", "polymorphic", "identity",
	}
	tableOptions = []string{"table", "alias", "select"}
)

// warnOfTags logs what is in a model's tags that Bun does not know, which it
// only tells the standard error stream of. A misspelled option has no effect.
func (x *Extension) warnOfTags(e *engine, t *schema.Table) {
	if odd := oddTags(t); len(odd) > 0 {
		x.logger.Warn("echobun: options of a model's tags that Bun does not know have no effect",
			slog.String("model", t.Type.String()), slog.String("bind", e.key), slog.String("tags", strings.Join(odd, ", ")))
	}
}

// oddTags describes the options of a model's tags that Bun does not know, and
// those that it takes for the name of the column.
func oddTags(t *schema.Table) []string {
	var odd []string
	add := func(f *schema.Field) {
		for _, option := range slices.Sorted(maps.Keys(f.Tag.Options)) {
			if !slices.Contains(fieldOptions, option) {
				odd = append(odd, fmt.Sprintf("%s: %q", f.GoName, option))
			}
		}
		if name := f.Tag.Name; slices.Contains(fieldOptions, name) && !strings.EqualFold(name, f.GoName) {
			odd = append(odd, fmt.Sprintf(`%s: %q is taken for the column's name, without a comma before it`, f.GoName, name))
		}
	}
	for _, f := range t.Fields {
		add(f)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Relations)) {
		add(t.Relations[name].Field)
	}
	return append(odd, oddTableTags(t)...)
}

func oddTableTags(t *schema.Table) []string {
	f, ok := t.Type.FieldByName("BaseModel")
	tag := f.Tag.Get("bun")
	if !ok || f.Type != reflect.TypeFor[bun.BaseModel]() || strings.ContainsAny(tag, `'"()`) {
		return nil // What is quoted may have a comma in it.
	}
	var odd []string
	for i, option := range strings.Split(tag, ",") {
		name, _, hasValue := strings.Cut(option, ":")
		known := name == "" || slices.Contains(tableOptions, name)
		if i == 0 && !hasValue {
			known = !slices.Contains(tableOptions, name) // It is the table's name.
		}
		if !known {
			odd = append(odd, fmt.Sprintf("BaseModel: %q", name))
		}
	}
	return odd
}
