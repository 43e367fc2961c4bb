package writes

import (
	"database/sql"
	"reflect"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"
)

// Counts reports whether Bun counts the keys of q's slice up from that of the
// first row, as it does where it has no RETURNING, or panics at a (*T)(nil) that
// it cannot give a key to.
func Counts(q Builder) bool {
	if _, ok := q.(*bun.InsertQuery); !ok || q.DB().HasFeature(feature.Returning|feature.Output) {
		return false
	}
	t, _, ok := slice(q)
	if !ok {
		t, ok = nilModel(q)
	}
	return ok && len(t.PKs) == 1 && t.PKs[0].AutoIncrement
}

// nilModel returns the table of a model that is a (*T)(nil).
func nilModel(q bun.Query) (*schema.Table, bool) {
	m, ok := q.GetModel().(bun.TableModel)
	if !ok {
		return nil, false
	}
	v := reflect.ValueOf(m.Value())
	return m.Table(), v.Kind() == reflect.Pointer && v.IsNil()
}

// Result returns what Bun is to know of the result of a statement of which it
// counts the keys: only right if the database has counted one for each row,
// in steps of one.
func Result(q Builder, text string, res sql.Result, step int64) sql.Result {
	insert, ok := q.(*bun.InsertQuery)
	t, s, isSlice := slice(q)
	if !isSlice {
		return keyless{res}
	}
	if !ok || counted(q, t.PKs[0], elements(s), res, step) || !owns(insert, text) {
		return res
	}
	return keyless{res}
}

// counted reports whether the database has given a key to each of rows, one
// after the other.
func counted(q Builder, pk *schema.Field, rows []reflect.Value, res sql.Result, step int64) bool {
	if len(rows) == 1 {
		return true // The key is this row's, also if it was there before.
	}
	n, err := res.RowsAffected()
	if err != nil || step != 1 || n != int64(len(rows)) || upserts(q) {
		return false
	}
	for _, row := range rows {
		if !pk.HasZeroValue(row) {
			return false
		}
	}
	return true
}

// keyless is a result that tells no key.
type keyless struct{ sql.Result }

// LastInsertId returns 0, as for a table that counts no keys.
func (keyless) LastInsertId() (int64, error) { return 0, nil }
