package echobun_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// FuzzNames makes a table with the given names on SQLite. Names are either
// refused, before anything is sent, or are the names of what there is then,
// and nothing else has changed.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"plain", "With$1", "_", "", "1st", "a b", "a.b", `a"b`, "a`b", "a'b", "a;DROP TABLE canary;--", "a\x00b", "a\nb",
		"a,b", "(a)", "?", "?0", "?TableName", "select", "Ünïcode", "ａ", strings.Repeat("n", 63), strings.Repeat("n", 64), "sqlite_x",
	} {
		f.Add(name, "id", "ix_name")
		f.Add("t", name, "ix_name")
		f.Add("t", "id", name)
	}

	f.Fuzz(func(t *testing.T, table, column, index string) {
		if index == "" {
			index = "ix_given" // An empty one asks for the default.
		}
		x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
		ctx, db := newSession(t, x)
		_, err := db.Bind("").ExecContext(ctx, "CREATE TABLE canary (id integer)")
		require.NoError(t, err)

		def := &echobun.Table{
			Name:    table,
			Columns: []echobun.Column{{Name: column, Type: echobun.Integer}},
			Indexes: []echobun.Index{{Name: index, Columns: []string{column}}},
		}
		want := []string{"canary"}
		if err := x.Register(def); err != nil {
			require.ErrorAs(t, err, new(*echobun.ModelError))
		} else if err := x.CreateAll(ctx); err == nil {
			want = append(want, table, index)
			requireRow(ctx, t, db, def)
		} else {
			// SQLite keeps some names for itself, and both names for one thing.
			require.ErrorAs(t, err, new(*echobun.BindError))
		}
		require.ElementsMatch(t, want, namesInDatabase(ctx, t, db))
	})
}

// requireRow writes and reads a row of a table with one column.
func requireRow(ctx context.Context, t *testing.T, db *echobun.Session, def *echobun.Table) {
	t.Helper()
	column := def.Columns[0].Name
	_, err := db.NewInsert().Table(def).Model(&map[string]any{column: 7}).Exec(ctx)
	require.NoError(t, err)
	var rows []map[string]any
	require.NoError(t, db.NewSelect().Table(def).Scan(ctx, &rows))
	require.Equal(t, []map[string]any{{column: int64(7)}}, rows)
}

func namesInDatabase(ctx context.Context, t *testing.T, db *echobun.Session) []string {
	t.Helper()
	var names []string
	require.NoError(t, db.NewRaw("SELECT name FROM sqlite_master").Scan(ctx, &names))
	return names
}
