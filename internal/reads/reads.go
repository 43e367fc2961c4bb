// Package reads has a SELECT start with a clean model. Bun 1.3 reads rows into
// what the caller's slice held before, and appends the rows of a relation to
// those that are there: a model that is read a second time, as in a
// transaction that is tried again, has values of another row, and twice its
// children.
package reads

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// A Fresh has Bun read into a model as if that were new.
type Fresh struct {
	slice     reflect.Value // Whose elements are new ones; or
	relations []reflect.Value
}

// FreshFor returns what makes the model new that the finished statement query of
// q, or of a clone of it, is read into. It returns nil if there is nothing to do.
func FreshFor(q *bun.SelectQuery, query string) *Fresh {
	v, m, ok := model(q)
	if !ok {
		return nil
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.Cap() > 0 && v.Type().Elem().Kind() != reflect.Interface && reads(q, m, query) {
			return &Fresh{slice: v}
		}
	case reflect.Struct:
		if found := set(v, m); len(found) > 0 && reads(q, m, query) && sends(q) {
			return &Fresh{relations: found}
		}
	}
	return nil
}

// Begin is called when the first row is there. If Bun reads into the slice and
// nowhere else, it has cut it. A struct's relations are emptied: Bun appends to
// them, and leaves those that the row has none of.
func (f *Fresh) Begin() {
	if f.slice.IsValid() && f.slice.Len() == 0 {
		f.slice.Set(f.slice.Slice3(0, 0, 0))
	}
	for _, rel := range f.relations {
		rel.SetZero()
	}
}

// set returns the relations of a struct that its model reads and that point to
// something.
func set(v reflect.Value, m bun.TableModel) (found []reflect.Value) {
	for _, rel := range m.Table().Relations {
		f := rel.Field.Value(v)
		if k := f.Kind(); (k == reflect.Pointer || k == reflect.Slice) && !f.IsNil() && joined(m, rel) {
			found = append(found, f)
		}
	}
	return found
}

// reads reports whether a statement may be one that reads a model, and none for
// a relation of it, which has a table of its own.
func reads(q *bun.SelectQuery, m bun.TableModel, query string) bool {
	from := mainFrom(sqltext.Words(q.DB().Dialect().Name()), query)
	if strings.HasPrefix(from, string(m.Table().SQLNameForSelects)) {
		return true
	}
	for _, rel := range m.Table().Relations {
		if strings.HasPrefix(from, string(rel.JoinTable.SQLNameForSelects)) {
			return false
		}
	}
	return true
}

// mainFrom returns what stands behind the FROM of a statement itself, and not of
// a query in its brackets.
func mainFrom(d sqlwords.Dialect, query string) string {
	depth := 0
	for s := d.Scan(query); ; {
		word := s.Next()
		switch {
		case word == "":
			return ""
		case s.Quoted():
		case word == "(":
			depth++
		case word == ")":
			depth--
		case depth == 0 && strings.EqualFold(word, "FROM"):
			return strings.TrimLeft(s.Rest(), " ")
		}
	}
}

// sends reports whether q sends a statement through what was made for it, and
// not a clone of it, which may have another model. Bun does not tell, so the stack
// has to; if it does not either, nothing is made new. It is looked at only for
// a struct that is read again.
func sends(q *bun.SelectQuery) bool {
	var buf [8 << 10]byte
	stack := buf[:runtime.Stack(buf[:], false)]
	_, args, _ := bytes.Cut(stack, []byte("bun.(*baseQuery).scan("))
	first, _, _ := bytes.Cut(args, []byte(",")) // A builder begins with its baseQuery.
	return string(first) == fmt.Sprintf("%#x", reflect.ValueOf(q).Pointer())
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
