package writes

import (
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"
)

// named returns an INSERT with all columns that it needs. Without DEFAULT in
// VALUES, as on SQLite, Bun leaves out the columns for which the first row has
// no value: the values that other rows have for them would be lost, and of a
// row without any value it makes a syntax error.
func named(q *bun.InsertQuery, text string) (string, error) {
	if q.DB().HasFeature(feature.DefaultPlaceholder) {
		return text, nil
	}
	v, h, _ := parts(q)
	t, value, ok := model(q)
	if !ok || length(v, h.columns) > 0 || value.Kind() == reflect.Slice && value.Len() == 0 {
		return text, nil
	}
	columns, missing := columnsOf(t, elements(value), func(f *schema.Field) bool {
		return h.values != nil && v.FieldByIndex(h.values).MapIndex(reflect.ValueOf(f.Name)).IsValid()
	})
	if !missing || !owns(q, text) {
		return text, nil
	}
	again := *q
	b, err := again.Column(columns...).AppendQuery(q.DB().QueryGen(), nil)
	return string(b), err
}

// columnsOf returns the columns that an INSERT needs, and whether Bun leaves
// some of them out. has says which have an expression of the query's own.
func columnsOf(t *schema.Table, rows []reflect.Value, has func(*schema.Field) bool) (columns []string, missing bool) {
	if len(rows) == 0 {
		return nil, false
	}
	needed := false
	var defaults []string
	for _, f := range t.Fields {
		out := f.NotNull && isDefault(f, rows[0])
		switch {
		case !out:
			columns = append(columns, f.Name)
		case has(f) || anyValue(f, rows[1:]):
			columns, needed = append(columns, f.Name), true
		case f.AutoIncrement || f.SQLDefault != "":
			defaults = append(defaults, f.Name)
		}
	}
	if len(columns) == 0 {
		return defaults, len(defaults) > 0
	}
	return columns, needed
}

func anyValue(f *schema.Field, rows []reflect.Value) bool {
	for _, row := range rows {
		if !isDefault(f, row) {
			return true
		}
	}
	return false
}

// isDefault is Bun's rule of what the database is left to fill in.
func isDefault(f *schema.Field, row reflect.Value) bool {
	return f.IsPtr && f.HasNilValue(row) || f.HasZeroValue(row) && (f.NullZero || f.SQLDefault != "")
}
