// Package writes puts right what Bun 1.3 gets wrong about statements that
// write, between its builders and the connection: it refuses what a builder
// would leave out in silence, names columns that it would forget, and keeps
// the rows that a statement returns from going to the wrong elements of the
// caller's slice. Of builders it reads; it changes none.
package writes

import (
	"bytes"
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// A Builder is one of Bun's builders.
type Builder interface {
	bun.Query
	DB() *bun.DB
}

// Check returns the text to send for the finished statement text of q, or why
// nothing must be sent. asks is set if rows are to be read from it.
func Check(q Builder, text string, asks bool) (string, error) {
	if err := refusal(q, text, asks); err != nil {
		return "", err
	}
	if insert, ok := q.(*bun.InsertQuery); ok {
		return named(insert, defaults(insert, text))
	}
	return text, nil
}

// model returns the table and the value of q's model: a struct, or a slice of
// structs. ok is false for other models, such as maps and a nil pointer.
func model(q bun.Query) (t *schema.Table, v reflect.Value, ok bool) {
	m, ok := q.GetModel().(bun.TableModel)
	if !ok {
		return nil, v, false
	}
	v = reflect.ValueOf(m.Value())
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, v, false
	}
	return m.Table(), v.Elem(), true
}

// slice is model for a slice that is not empty.
func slice(q bun.Query) (t *schema.Table, v reflect.Value, ok bool) {
	t, v, ok = model(q)
	return t, v, ok && v.Kind() == reflect.Slice && v.Len() > 0
}

// element returns the struct of an element, which may be behind a pointer or
// an interface.
func element(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

// elements returns the structs of a model's value. It is nil if one is nil.
func elements(v reflect.Value) []reflect.Value {
	if v.Kind() != reflect.Slice {
		return []reflect.Value{v}
	}
	all := make([]reflect.Value, v.Len())
	for i := range all {
		all[i] = element(v.Index(i))
		if !all[i].IsValid() {
			return nil
		}
	}
	return all
}

// owns reports whether text is what q has made. A hook of the model may send
// another INSERT through a builder that it has from q.
func owns(q *bun.InsertQuery, text string) bool {
	again, err := q.AppendQuery(q.DB().QueryGen(), nil)
	return err == nil && string(head(again)) == string(head([]byte(text)))
}

// head is a statement up to its values, which may differ with each call of
// their Value method.
func head(text []byte) []byte {
	before, _, _ := bytes.Cut(text, []byte(" VALUES ("))
	return before
}
