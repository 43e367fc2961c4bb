package writes

import (
	"errors"
	"reflect"

	"github.com/uptrace/bun"
)

// Was is what the fields of a model held that Bun writes the time of deletion
// into before it sends a soft delete.
type Was []struct{ field, value reflect.Value }

// errNoWhere says what Bun would.
var errNoWhere = errors.New("bun: Update and Delete queries require at least one Where")

// Deletes returns what the model of a DELETE holds before Bun makes a soft
// delete of it, or why Bun would not, as far as it finds out too late. It is
// nil if the model stays as it is.
func Deletes(q *bun.DeleteQuery) (Was, error) {
	t, v, ok := model(q)
	if !ok || !isSoft(q, t) || v.Kind() != reflect.Slice && v.Kind() != reflect.Struct {
		return nil, nil
	}
	if b, h, _ := parts(q); length(b, h.where) == 0 && isNil(b, h.filter) && number(b, h.flags)&deleted == 0 {
		return nil, errNoWhere
	}
	rows := elements(v)
	was := make(Was, len(rows))
	for i, row := range rows {
		was[i].field = t.SoftDeleteField.Value(row)
		was[i].value = reflect.New(was[i].field.Type()).Elem()
		was[i].value.Set(was[i].field)
	}
	return was, nil
}

// Failed takes back the time of deletion that Bun has written into the model
// of a statement that has failed: the rows that it is about are not deleted. If
// nobody knows what the model held, it holds none.
func Failed(q Builder, was Was) {
	for _, w := range was {
		w.field.Set(w.value)
	}
	t, v, ok := model(q)
	if was != nil || !ok || !isSoft(q, t) {
		return
	}
	if b, h, _ := parts(q); number(b, h.flags)&withDeleted != 0 {
		return
	}
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Struct {
		return
	}
	for _, row := range elements(v) {
		t.SoftDeleteField.Value(row).SetZero()
	}
}
