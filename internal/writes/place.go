package writes

import (
	"database/sql/driver"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// A place is where the rows of an answer go if Bun reads them into the model,
// a slice that was not empty. Bun cuts it and fills it from its start,
// whichever element a row belongs to.
//
// begin, then end or abandon are called by the goroutine that reads.
type place struct {
	slice reflect.Value // The caller's.
	was   reflect.Value // What it was.
	other reflect.Value // What Bun is to fill in its place; invalid for none.
	keep  bool          // The caller gets what Bun has filled.
	used  bool          // Bun reads into it.
	ended bool
}

// placeFor says where the rows go.
//
// Those of an INSERT, and those of an UPDATE or a DELETE that takes its rows
// from the slice, go each to its element: if the answer is complete and says
// which row is which. If not, no element is touched: Bun counts the rows, and
// what it reads is forgotten. Where the slice only waits for a result, it gets
// that, in elements of its own, so that none has values of a row before.
func placeFor(q Builder, t *schema.Table, s reflect.Value, a *answer) *place {
	p := &place{slice: s, was: reflect.New(s.Type()).Elem()}
	p.was.Set(s)
	_, inserts := q.(*bun.InsertQuery)
	switch {
	case !inserts && !filters(q):
		p.keep = true
	case a.count == s.Len() && (inserts || a.count == 1 || a.sort(q, t, elements(s))):
		return p
	}
	p.other = fresh(s, a.count)
	return p
}

// filters reports whether an UPDATE or a DELETE takes its rows from the model:
// with WherePK, or with Bulk.
func filters(q bun.Query) bool {
	v, h, _ := parts(q)
	for i := range length(v, h.with) {
		if v.FieldByIndex(h.with).Index(i).FieldByName("name").String() == "_data" {
			return true
		}
	}
	return length(v, h.filter) > 0
}

// fresh returns a slice of the type of s with no elements, and room for count
// new ones. Bun makes what pointers point to, but not what interfaces hold.
func fresh(s reflect.Value, count int) reflect.Value {
	other := reflect.MakeSlice(s.Type(), count, count)
	if s.Type().Elem().Kind() == reflect.Interface {
		for i := range count {
			other.Index(i).Set(reflect.New(element(s.Index(0)).Type()))
		}
	}
	return other.Slice(0, 0)
}

// sort puts the rows in the order of the elements, and reports whether each
// has one, by its primary key.
func (a *answer) sort(q Builder, t *schema.Table, rows []reflect.Value) bool {
	at := make([]int, 0, len(t.PKs)) // Columns of the key.
	for _, pk := range t.PKs {
		for i, name := range a.columns {
			if strings.Trim(name, `"`) == pk.Name {
				at = append(at, i)
				break
			}
		}
	}
	if len(at) == 0 || len(at) != len(t.PKs) || len(rows) != a.count {
		return false
	}
	found := make(map[string][]driver.Value, a.count)
	for i := range a.count {
		key, err := rowKey(q, t, at, a.row(i))
		if err != nil {
			return false
		}
		found[key] = a.row(i)
	}
	sorted := make([]driver.Value, 0, len(a.values))
	for _, row := range rows {
		key := string(appendKey(q, t, nil, row))
		if found[key] == nil {
			return false
		}
		sorted = append(sorted, found[key]...)
		delete(found, key)
	}
	a.values = sorted
	return true
}

// rowKey is the key of a row that the database has returned.
func rowKey(q Builder, t *schema.Table, at []int, row []driver.Value) (string, error) {
	strct := reflect.New(t.Type).Elem()
	for i, pk := range t.PKs {
		if err := pk.ScanValue(strct, row[at[i]]); err != nil {
			return "", err
		}
	}
	return string(appendKey(q, t, nil, strct)), nil
}

// appendKey appends the key of a struct as SQL.
func appendKey(q Builder, t *schema.Table, b []byte, strct reflect.Value) []byte {
	for _, pk := range t.PKs {
		b = append(pk.AppendValue(q.DB().QueryGen(), b, strct), ',')
	}
	return b
}

// begin looks whether Bun reads into the slice: it has cut it.
func (p *place) begin() {
	p.used = p.slice.Len() == 0
	if p.used && p.other.IsValid() {
		p.slice.Set(p.other)
	}
}

// end is called when all rows are read.
func (p *place) end() {
	p.ended = true
	if p.used && !p.keep {
		p.slice.Set(p.was)
	}
}

// abandon is called when no more is read. If not all was, the slice is what it
// was again.
func (p *place) abandon() {
	if p.used && !p.ended {
		p.slice.Set(p.was)
	}
}
