package writes

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

var (
	errNil = errors.New("nil: the statement takes values from the model, and a nil pointer has none: give it a struct")

	errEmpty = errors.New("an empty slice: there is nothing to insert: give it an element at least, or leave the statement out")

	errEmptyBulk = errors.New("an empty slice in Bulk: there is nothing to change: give it an element at least, or leave the statement out")

	errNoValues = errors.New("an empty slice: a VALUES list has a row at least")

	errNoList = errors.New("no rows for a VALUES list: give a *T, a *[]T or a *[]*T of a struct, or a *[]map[string]any")

	errNotStored = errors.New("a model with values beside another table: Bun makes an INSERT ... SELECT of it, which copies that table's rows " +
		"and stores nothing of the model: leave the table out to store it, or give Model a (*T)(nil) to copy")
)

// Fits returns why q cannot be made of the values of its model, before Bun tries
// to: it panics at a nil, and sends what is no SQL for an empty slice. unusable
// is why none of the model's kind can be written whole, or nil.
func Fits(q Builder, unusable error) error {
	m, ok := q.GetModel().(bun.TableModel)
	if !ok {
		return nil
	}
	v := reflect.ValueOf(m.Value())
	if v.Kind() != reflect.Pointer {
		return nil
	}
	if v.IsNil() {
		return fitsNil(q)
	}
	if v = v.Elem(); v.Kind() == reflect.Slice {
		if err := fitsSlice(q, m.Table(), v); err != nil {
			return err
		}
	}
	if unusable != nil && panics(q) {
		return unusable
	}
	return nil
}

// fitsNil is Fits for a (*T)(nil), which is Bun's way to name a table.
func fitsNil(q Builder) error {
	_, inserts := q.(*bun.InsertQuery)
	if inserts && panics(q) || !inserts && hasKeys(q) {
		return errNil
	}
	return nil
}

// hasKeys reports whether a statement is about the rows that its model's keys
// are those of: with WherePK.
func hasKeys(q Builder) bool {
	v, h, _ := parts(q)
	return length(v, h.filter) > 0
}

// isBulk reports whether an UPDATE is one with Bulk: its CTE has the values of
// its own model.
func isBulk(q Builder) bool {
	v, h, _ := parts(q)
	for i := range length(v, h.with) {
		query := v.FieldByIndex(h.with).Index(i).FieldByName("query")
		if !query.IsValid() || query.Type() != reflect.TypeFor[bun.Query]() {
			continue
		}
		cte := *(*bun.Query)(query.Addr().UnsafePointer())
		if values, ok := cte.(*bun.ValuesQuery); ok && values.GetModel() == q.GetModel() {
			return true
		}
	}
	return false
}

// ReturnsToNil reports whether Bun would have an INSERT return what Value was
// called for, which nobody has asked for, and fail to read it into a (*T)(nil)
// when it is done.
func ReturnsToNil(q *bun.InsertQuery) bool {
	if _, isNil := nilModel(q); !isNil {
		return false
	}
	v, h, _ := parts(q)
	return length(v, h.values) > 0 && length(v, h.returning) == 0
}

func fitsSlice(q Builder, t *schema.Table, s reflect.Value) error {
	_, inserts := q.(*bun.InsertQuery)
	switch {
	case inserts && copies(q):
		return nil // Its elements wait for what is returned, if anything.
	case inserts && s.Len() == 0:
		return errEmpty
	case inserts || hasKeys(q) || isSoft(q, t):
		return noNil(s)
	case !isBulk(q):
		return nil
	case s.Len() == 0:
		return errEmptyBulk
	}
	return noNil(s)
}

// Values returns why a VALUES list cannot be made of a model.
func Values(model any) error {
	v := reflect.ValueOf(model)
	if v.Kind() != reflect.Pointer {
		return nil // Bun says what it wants.
	}
	if v.IsNil() {
		return errNil
	}
	switch v = v.Elem(); {
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Map: // A map is for SetValues; Bun makes no list of it.
		return nil
	case v.Kind() != reflect.Slice:
		return errNoList
	case v.Len() == 0:
		return errNoValues
	}
	if err := noNil(v); err != nil {
		return err
	}
	if k := element(v.Index(0)).Kind(); k != reflect.Struct && k != reflect.Map {
		return errNoList
	}
	return nil
}

// noNil returns an error if an element of a slice is nil.
func noNil(s reflect.Value) error {
	if k := s.Type().Elem().Kind(); k != reflect.Pointer && k != reflect.Interface {
		return nil
	}
	for i := range s.Len() {
		if !element(s.Index(i)).IsValid() {
			return fmt.Errorf("index %d is nil: a statement takes values from each element", i)
		}
	}
	return nil
}

// copies reports whether an INSERT takes its rows from another table.
func copies(q Builder) bool {
	v, h, _ := parts(q)
	return length(v, h.tables) > 0
}

// panics reports whether Bun panics when it makes the statement. It is asked
// rarely, for what it panics at hangs on all that the builder was told.
func panics(q Builder) (yes bool) {
	defer func() { yes = recover() != nil }()
	switch q := q.(type) {
	case *bun.InsertQuery:
		again := *q
		_, _ = again.AppendQuery(q.DB().QueryGen(), nil)
	case *bun.UpdateQuery:
		again := *q
		_, _ = again.AppendQuery(q.DB().QueryGen(), nil)
	}
	return false
}

// stored returns an error if the values of an INSERT's model would be neither
// stored nor read: what Returning was asked for is for rows that come back.
func stored(q Builder) error {
	if _, inserts := q.(*bun.InsertQuery); !inserts || !copies(q) {
		return nil
	}
	if at, h, _ := parts(q); length(at, h.returning) > 0 {
		return nil
	}
	_, v, ok := model(q)
	if !ok || v.Kind() == reflect.Struct && v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return nil
	}
	return errNotStored
}
