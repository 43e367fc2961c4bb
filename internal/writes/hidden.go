package writes

import (
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// A hidden says where one of Bun's builders keeps what it does not tell. A
// field that is not there any more is as one that is empty.
type hidden struct{ conn, returning, returns, where, filter, order, limit, flags, columns, values, with, on, tables []int }

var (
	ofInsert = hide(reflect.TypeFor[bun.InsertQuery]())
	ofUpdate = hide(reflect.TypeFor[bun.UpdateQuery]())
	ofDelete = hide(reflect.TypeFor[bun.DeleteQuery]())
)

func hide(t reflect.Type) hidden {
	at := func(name string) []int {
		f, _ := t.FieldByName(name)
		return f.Index
	}
	return hidden{
		conn:      at("conn"),
		returning: at("returning"),
		returns:   at("returningFields"),
		where:     at("where"),
		filter:    at("whereFields"),
		order:     at("order"),
		limit:     at("limit"),
		flags:     at("flags"),
		columns:   at("columns"),
		values:    at("modelValues"),
		with:      at("with"),
		on:        at("on"),
		tables:    at("tables"),
	}
}

// parts returns q as a value and where its parts are, or false if it is no
// builder that this package knows.
func parts(q bun.Query) (reflect.Value, hidden, bool) {
	v := reflect.ValueOf(q)
	switch q.(type) {
	case *bun.InsertQuery:
		return v.Elem(), ofInsert, true
	case *bun.UpdateQuery:
		return v.Elem(), ofUpdate, true
	case *bun.DeleteQuery:
		return v.Elem(), ofDelete, true
	}
	return v, hidden{}, false
}

// length is the length of a builder's slice or map.
func length(q reflect.Value, at []int) int {
	if at == nil {
		return 0
	}
	return q.FieldByIndex(at).Len()
}

// isNil reports whether a builder's slice was never set.
func isNil(q reflect.Value, at []int) bool { return at == nil || q.FieldByIndex(at).IsNil() }

// ConnOf returns the connection that a builder was given, or nil.
func ConnOf(q bun.Query) bun.IConn {
	v, h, ok := parts(q)
	if !ok || h.conn == nil {
		return nil
	}
	conn, _ := reflect.TypeAssert[bun.IConn](reflect.NewAt(reflect.TypeFor[bun.IConn](), v.FieldByIndex(h.conn).Addr().UnsafePointer()).Elem())
	return conn
}

// number is an integer of a builder.
func number(q reflect.Value, at []int) int64 {
	if at == nil {
		return 0
	}
	if v := q.FieldByIndex(at); v.CanInt() {
		return v.Int()
	} else if v.CanUint() {
		return int64(v.Uint()) //nolint:gosec // A few flags.
	}
	return 0
}

// returning returns what a builder was asked to return, in its words.
// Returning("NULL") asks for nothing.
func returning(q reflect.Value, h hidden) []string {
	var asked []string
	for i := range length(q, h.returning) {
		asked = append(asked, q.FieldByIndex(h.returning).Index(i).FieldByName("Query").String())
	}
	if len(asked) == 1 && (asked[0] == "" || asked[0] == "null" || asked[0] == "NULL") {
		return nil
	}
	return asked
}

// upserts reports whether an INSERT says what becomes of rows that are there.
func upserts(q bun.Query) bool {
	v, h, _ := parts(q)
	return h.on != nil && v.FieldByIndex(h.on).FieldByName("Query").String() != ""
}

// Bun's flags of a DELETE: it is to be none of the soft kind, and it may be
// about rows that are deleted already.
const (
	forced      = 1
	deleted     = 2
	withDeleted = deleted | 4
)

// isSoft reports whether a builder sends an UPDATE in place of its DELETE.
func isSoft(q bun.Query, t *schema.Table) bool {
	v, h, _ := parts(q)
	_, deletes := q.(*bun.DeleteQuery)
	return deletes && t != nil && t.SoftDeleteField != nil && number(v, h.flags)&forced == 0
}
