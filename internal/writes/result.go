package writes

import (
	"database/sql"
	"reflect"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"
)

// Result returns what Bun is to know of the result of q's statement. Without
// RETURNING it counts the keys of a slice up from that of the first row that
// the database has counted: only right if it has counted one for each.
func Result(q Builder, text string, res sql.Result) sql.Result {
	insert, ok := q.(*bun.InsertQuery)
	if !ok || q.DB().HasFeature(feature.Returning|feature.Output) {
		return res
	}
	t, s, ok := slice(q)
	if !ok || len(t.PKs) != 1 || !t.PKs[0].AutoIncrement || counted(t.PKs[0], elements(s), text, res) || !owns(insert, text) {
		return res
	}
	return keyless{res}
}

// counted reports whether the database has given a key to each of rows, one
// after the other.
func counted(pk *schema.Field, rows []reflect.Value, text string, res sql.Result) bool {
	if len(rows) == 1 {
		return true // The key is this row's, also if it was there before.
	}
	n, err := res.RowsAffected()
	if err != nil || n != int64(len(rows)) || strings.Contains(text, " ON DUPLICATE KEY ") {
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
