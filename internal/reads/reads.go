// Package reads has a SELECT start with a clean model. Bun 1.3 reads rows into
// what the caller's slice held before, and appends the rows of a relation to
// those that are there: a model that is read a second time, as in a
// transaction that is tried again, has values of another row, and twice its
// children.
package reads

import (
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// A Fresh has Bun read into new elements of a slice.
type Fresh struct{ slice reflect.Value }

// FreshFor returns what has the rows of q read into new elements of its model,
// or nil if that has none that Bun would use again.
func FreshFor(q *bun.SelectQuery) *Fresh {
	v, _, ok := model(q)
	if !ok || v.Kind() != reflect.Slice || v.Cap() == 0 || v.Type().Elem().Kind() == reflect.Interface {
		return nil
	}
	return &Fresh{v}
}

// Begin is called when the first row is asked for. If Bun reads into the slice
// and nowhere else, it has cut it.
func (f *Fresh) Begin() {
	if f.slice.Len() == 0 {
		f.slice.Set(f.slice.Slice3(0, 0, 0))
	}
}

// Clear empties the relations of a struct that q reads, where they point to
// something. It returns what undoes that, or nil if there was nothing to do.
func Clear(q *bun.SelectQuery) (undo func()) {
	v, m, ok := model(q)
	if !ok || v.Kind() != reflect.Struct || len(m.Table().Relations) == 0 {
		return nil
	}
	was := reflect.Value{}
	for _, rel := range m.Table().Relations {
		f := rel.Field.Value(v)
		if k := f.Kind(); k != reflect.Pointer && k != reflect.Slice || f.IsNil() || !joined(m, rel) {
			continue
		}
		if !was.IsValid() {
			was = reflect.New(v.Type()).Elem()
			was.Set(v)
		}
		f.SetZero()
	}
	if !was.IsValid() {
		return nil
	}
	return func() { v.Set(was) }
}

// model returns the value of q's model, a struct or a slice of structs.
func model(q *bun.SelectQuery) (reflect.Value, bun.TableModel, bool) {
	m, ok := q.GetModel().(bun.TableModel)
	if !ok {
		return reflect.Value{}, nil, false
	}
	v := reflect.ValueOf(m.Value())
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, nil, false
	}
	return v.Elem(), m, true
}

// joined reports whether a model reads a relation, which Bun does not tell.
func joined(m bun.TableModel, rel *schema.Relation) bool {
	joins := reflect.ValueOf(m).Elem().FieldByName("joins")
	if !joins.IsValid() {
		return false
	}
	for i := range joins.Len() {
		if joins.Index(i).FieldByName("Relation").Pointer() == reflect.ValueOf(rel).Pointer() {
			return true
		}
	}
	return false
}
