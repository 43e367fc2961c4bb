package writes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

var (
	errNoRow = errors.New("an INSERT into a Table without a row: give Model a *map[string]any, or a *[]map[string]any")

	errNoRows = errors.New("an empty slice of maps: there is nothing to insert: give it a map at least, or leave the statement out")

	errNoKeys = errors.New("maps without a key: give each a column at least, or insert a single empty map for a row of defaults")
)

// A Target is the table of an INSERT whose rows are maps, as Bun's builder has
// it write down. Of several maps Bun refuses to make one: they are given to it
// as a single one, whose last value writes all rows after the first too.
type Target struct {
	Query   *bun.InsertQuery
	Table   string
	Refused *error // Set to why the statement must not be sent.

	rows *[]map[string]any // What the caller gave.
	one  *map[string]any   // What stands in for it.
	none *map[string]any   // What stands in for what is refused.
}

// AppendQuery appends the name. What it makes of the model Bun asks for next.
func (t *Target) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	if m := t.Query.GetModel(); t.none != nil && m != nil && m.Value() == any(t.none) {
		return gen.AppendIdent(b, t.Table), nil // It is refused already.
	}
	if *t.Refused = t.begin(); *t.Refused != nil {
		t.none = &map[string]any{"": nil}
		t.Query.Model(t.none) // So that Bun comes as far as to the connection.
	}
	return gen.AppendIdent(b, t.Table), nil
}

func (t *Target) begin() error {
	v, h, _ := parts(t.Query)
	if length(v, h.tables) > 1 {
		return nil // The rows come from another table.
	}
	m := t.Query.GetModel()
	if m == nil {
		return errNoRow
	}
	switch rows := m.Value().(type) {
	case *[]map[string]any:
		t.rows = rows
	case *map[string]any:
		if rows != t.one {
			return nil
		}
	default:
		return nil
	}
	return t.join()
}

// join puts one map in the place of the caller's.
func (t *Target) join() error {
	rows := *t.rows
	if len(rows) == 0 {
		return errNoRows
	}
	keys := slices.Sorted(maps.Keys(rows[0])) // The order that Bun has them in.
	if len(keys) == 0 {
		return errNoKeys
	}
	for i, row := range rows {
		if err := sameKeys(keys, row); err != nil {
			return fmt.Errorf("index %d %w: give all maps the same keys, or insert them one by one", i, err)
		}
	}
	one := maps.Clone(rows[0])
	one[keys[len(keys)-1]] = &rest{t, keys}
	t.one = &one
	t.Query.Model(t.one)
	return nil
}

func sameKeys(keys []string, row map[string]any) error {
	for _, key := range keys {
		if _, ok := row[key]; !ok {
			return fmt.Errorf("has no %q, which index 0 has", key)
		}
	}
	if len(row) > len(keys) {
		return errors.New("has keys that index 0 has not")
	}
	return nil
}

// A rest is the last value of a row, and all rows after it.
type rest struct {
	t    *Target
	keys []string
}

// AppendQuery appends them, and has the builder have the caller's maps again,
// for rows that are returned.
func (r *rest) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	last := len(r.keys) - 1
	for i, row := range *r.t.rows {
		if i > 0 {
			b = append(b, "), ("...)
			for _, key := range r.keys[:last] {
				b = append(gen.Append(b, row[key]), ", "...)
			}
		}
		b = gen.Append(b, row[r.keys[last]])
	}
	r.t.Query.Model(r.t.rows)
	return b, nil
}

// defaults returns the text of an INSERT of an empty map, of which Bun makes what
// is SQL on MySQL alone.
func defaults(q *bun.InsertQuery, text string) string {
	m := q.GetModel()
	if m == nil || q.DB().Dialect().Name() == dialect.MySQL {
		return text
	}
	if row, ok := m.Value().(*map[string]any); ok && len(*row) == 0 {
		return strings.Replace(text, " () VALUES ()", " DEFAULT VALUES", 1)
	}
	return text
}
