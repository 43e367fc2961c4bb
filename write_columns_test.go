package echobun_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// Bun counts the keys of a slice up from the first one, where the database
// returns no rows, whether or not it has given them.
func TestKeysWithoutReturning(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.MariaDB(t).URL()}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	old := &keyword{Name: "old"}
	_, err := db.NewInsert().Model(old).Exec(ctx)
	require.NoError(t, err)
	keys := func(rows []keyword) (all []int64) {
		for _, row := range rows {
			all = append(all, row.ID)
		}
		return all
	}

	given := []keyword{{ID: 30, Name: "30", Rank: 1}, {ID: 10, Name: "10", Rank: 1}, {ID: 20, Name: "20", Rank: 1}}
	_, err = db.NewInsert().Model(&given).Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{30, 10, 20}, keys(given))

	some := []keyword{{Name: "a"}, {ID: 100, Name: "b"}, {Name: "c"}}
	_, err = db.NewInsert().Model(&some).Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 100, 0}, keys(some))

	all := []keyword{{Name: "d"}, {Name: "e"}}
	_, err = db.NewInsert().Model(&all).Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{keyOf(ctx, t, db, "d"), keyOf(ctx, t, db, "e")}, keys(all))

	ignored := []keyword{{Name: "f"}, {Name: "old"}, {Name: "g"}}
	_, err = db.NewInsert().Model(&ignored).Ignore().Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 0}, keys(ignored))

	changed := []keyword{{Name: "h", Rank: 1}, {Name: "old", Rank: 7}}
	_, err = db.NewInsert().Model(&changed).On("DUPLICATE KEY UPDATE").Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0}, keys(changed))

	// As many rows as were sent, of which one was there, and is as it was.
	same := []keyword{{Name: "old", Rank: 7}, {Name: "i", Rank: 1}}
	_, err = db.NewInsert().Model(&same).On("duplicate key\nupdate `rank` = VALUES(`rank`)").Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0}, keys(same))

	quoting := []keyword{{Name: " ON DUPLICATE KEY "}, {Name: "j"}}
	_, err = db.NewInsert().Model(&quoting).Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{keyOf(ctx, t, db, " ON DUPLICATE KEY "), keyOf(ctx, t, db, "j")}, keys(quoting))
}

func TestRowsOfDefaults(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*defaulted)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		one, two := new(defaulted), make([]defaulted, 2)
		_, err := db.NewInsert().Model(one).Exec(ctx)
		require.NoError(t, err)
		_, err = x.Engine().NewInsert().Model(&two).Exec(ctx)
		require.NoError(t, err)
		for i, row := range append([]defaulted{*one}, two...) {
			require.EqualValues(t, i+1, row.ID)
			require.Equal(t, 7, row.Count)
			require.WithinDuration(t, time.Now(), row.At, time.Hour)
		}
	})
}

// Without DEFAULT in VALUES Bun takes the columns from the first row.
func TestLaterRowsKeepTheirValues(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*defaulted)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		rows := []*defaulted{{}, {ID: 40, Count: 9}, {At: at}}
		_, err := db.NewInsert().Model(&rows).Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 40, rows[1].ID)

		one := new(defaulted)
		_, err = db.NewInsert().Model(one).Value("count", "3 + ?", 8).Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, 11, one.Count)

		var counts []int
		require.NoError(t, db.NewSelect().Model((*defaulted)(nil)).Column("count").Order("count").Scan(ctx, &counts))
		require.Equal(t, []int{7, 7, 9, 11}, counts)
		n, err := db.NewSelect().Model((*defaulted)(nil)).Where("at = ?", at).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

// Bun reads into what an interface holds, and fails for most.
func TestInterfacesTakeWhatIsRead(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*held)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		k := func(v string) any { return map[string]any{"k": v} }
		long := func(s string) string { return strings.Repeat(s, 9000) } // More than drivers read at once.
		rows := []held{{Data: k("a"), Text: long("a")}, {Text: long("b")}, {Data: k("c"), Text: long("c")}}
		_, err := db.NewInsert().Model(&rows).Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, []any{k("a"), nil, k("c")}, []any{rows[0].Data, rows[1].Data, rows[2].Data})

		require.NoError(t, db.NewSelect().Model(&rows).Order("id DESC").Scan(ctx))
		require.Equal(t, []any{k("c"), nil, k("a")}, []any{rows[0].Data, rows[1].Data, rows[2].Data})
		var texts []string
		for _, row := range rows {
			texts = append(texts, fmt.Sprintf("%s", row.Text)) // The driver's string, or its bytes.
		}
		require.Equal(t, []string{long("c"), long("b"), long("a")}, texts)
	})
}

// In a cluster each node counts keys of its own, in steps that the session may
// change at any time: an element has the key that its row has, or none.
func TestKeysThatAreApart(t *testing.T) {
	t.Parallel()
	apart := "SET SESSION auto_increment_increment = 3"
	for name, test := range map[string]struct {
		parameters string
		onConnect  []string
		before     []string
		keys       bool // Counted where nobody returns them.
	}{
		"as it is":              {keys: true},
		"in the URL":            {parameters: "?auto_increment_increment=3"},
		"on connect":            {onConnect: []string{apart}},
		"by a statement":        {before: []string{apart}},
		"by two in one":         {parameters: "?multiStatements=true", before: []string{"SELECT 1; " + apart}},
		"prepared by its text":  {before: []string{"EXECUTE IMMEDIATE '" + apart + "'"}},
		"prepared":              {before: []string{"PREPARE s FROM '" + apart + "'", "INSERT", "EXECUTE s"}},
		"in a compound":         {before: []string{"BEGIN NOT ATOMIC " + apart + "; END"}},
		"for others":            {before: []string{"SET GLOBAL auto_increment_increment = 3"}, keys: true},
		"back to what it was":   {onConnect: []string{apart}, before: []string{"INSERT", "SET auto_increment_increment = DEFAULT"}, keys: true},
		"for another statement": {before: []string{"SET STATEMENT auto_increment_increment = 3 FOR SELECT 1"}, keys: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.MariaDB(t).URL()
			if name == "for others" {
				url = dbtest.StartMariaDB(t).URL()
			}
			x := newExtension(t, echobun.Config{
				DatabaseURI: url + test.parameters, EngineOptions: echobun.EngineOptions{OnConnect: test.onConnect, MaxOpenConns: 1},
			}, (*keyword)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			var counted []keyword
			require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				insertCounted(ctx, t, tx, "a", "b") // Which tells the driver a step.
				for i, statement := range test.before {
					if statement == "INSERT" {
						insertCounted(ctx, t, tx, fmt.Sprint("before", i), fmt.Sprint("before too", i))
						continue
					}
					_, err := tx.Bind("").ExecContext(ctx, statement)
					require.NoError(t, err)
				}
				counted = insertCounted(ctx, t, tx, "c", "d")
				return nil
			}))
			for _, row := range counted {
				want := keyOf(ctx, t, db, row.Name)
				if !test.keys {
					want = 0
				}
				require.Equal(t, want, row.ID, row.Name)
			}
		})
	}
}

// insertCounted inserts rows of which the database returns the first key alone.
func insertCounted(ctx context.Context, t *testing.T, db *echobun.Session, names ...string) []keyword {
	t.Helper()
	rows := make([]keyword, len(names))
	for i, name := range names {
		rows[i].Name = name
	}
	_, err := db.NewInsert().Model(&rows).Returning("NULL").Exec(ctx)
	require.NoError(t, err)
	return rows
}
