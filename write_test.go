package echobun_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// keyword is a row whose key the database counts.
type keyword struct {
	bun.BaseModel `bun:"table:keywords,alias:k"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique,type:varchar(40)"`
	Rank int    `bun:",notnull,default:7"`
}

// inserters are the ways in which a program comes by a builder.
func inserters(x *echobun.Extension, db *echobun.Session) map[string]func() *bun.InsertQuery {
	return map[string]func() *bun.InsertQuery{
		"builder": func() *bun.InsertQuery { return db.NewInsert().Model((*keyword)(nil)) },
		"bind":    func() *bun.InsertQuery { return db.Bind(echobun.DefaultBind).NewInsert() },
		"engine":  func() *bun.InsertQuery { return x.Engine().NewInsert() },
	}
}

// throughDoors runs a test on each database and through each door, with a tag
// "old" that is there before.
func throughDoors(t *testing.T, run func(ctx context.Context, t *testing.T, db *echobun.Session, insert func() *bun.InsertQuery)) {
	t.Helper()
	perDatabase(t, []any{(*keyword)(nil)}, func(t *testing.T, x *echobun.Extension) {
		for _, door := range []string{"builder", "bind", "engine"} {
			t.Run(door, func(t *testing.T) {
				ctx, db := newSession(t, x)
				require.NoError(t, x.DropAll(ctx))
				require.NoError(t, x.CreateAll(ctx))
				_, err := db.NewInsert().Model(&keyword{Name: "old"}).Exec(ctx)
				require.NoError(t, err)
				run(ctx, t, db, inserters(x, db)[door])
			})
		}
	})
}

func namesOf(tags []*keyword) []string {
	names := make([]string, len(tags))
	for i, each := range tags {
		names[i] = each.Name
	}
	return names
}

// keyOf is the key that the database has for a name.
func keyOf(ctx context.Context, t *testing.T, db *echobun.Session, name string) int64 {
	t.Helper()
	var found keyword
	require.NoError(t, db.NewSelect().Model(&found).Where("name = ?", name).Scan(ctx))
	return found.ID
}

// MariaDB sends the rows before the one that fails.
func TestFailedInsertLeavesTheSlice(t *testing.T) {
	t.Parallel()
	throughDoors(t, func(ctx context.Context, t *testing.T, _ *echobun.Session, insert func() *bun.InsertQuery) {
		rows := []*keyword{{Name: "a"}, {Name: "b"}, {Name: "old"}, {Name: "d"}}
		kept := rows
		_, err := insert().Model(&rows).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		require.Equal(t, kept, rows)
		require.Equal(t, []string{"a", "b", "old", "d"}, namesOf(rows))
		for _, row := range rows {
			require.Zero(t, row.ID)
			require.Zero(t, row.Rank)
		}
	})
}

// The answer has fewer rows than were sent, and does not say which.
func TestIgnoredRowsLeaveTheSlice(t *testing.T) {
	t.Parallel()
	throughDoors(t, func(ctx context.Context, t *testing.T, db *echobun.Session, insert func() *bun.InsertQuery) {
		rows := []*keyword{{Name: "a"}, {Name: "old"}, {Name: "c"}}
		res, err := insert().Model(&rows).Ignore().Exec(ctx)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		require.Equal(t, []string{"a", "old", "c"}, namesOf(rows))
		for _, row := range rows {
			require.Zero(t, row.ID)
		}

		again, err := insert().Model(&rows).Ignore().Exec(ctx)
		require.NoError(t, err)
		n, err = again.RowsAffected()
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, []string{"a", "old", "c"}, namesOf(rows))

		news := []any{&keyword{Name: "x"}, &keyword{Name: "y"}}
		_, err = insert().Model(&news).Ignore().Exec(ctx)
		require.NoError(t, err)
		for _, row := range news {
			row, ok := row.(*keyword)
			require.True(t, ok)
			require.Equal(t, keyOf(ctx, t, db, row.Name), row.ID)
		}
		news = append(news, &keyword{Name: "z"})
		_, err = insert().Model(&news).Column("name").Returning("id").Ignore().Exec(ctx)
		require.NoError(t, err)
		require.Len(t, news, 3)
		require.Equal(t, &keyword{Name: "z"}, news[2])

		single := &keyword{Name: "old"}
		_, err = insert().Model(single).Ignore().Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, &keyword{Name: "old"}, single)
	})
}

// A destination of its own gets what the database has returned.
func TestIgnoredRowsAndADestination(t *testing.T) {
	t.Parallel()
	throughDoors(t, func(ctx context.Context, t *testing.T, db *echobun.Session, insert func() *bun.InsertQuery) {
		rows := []keyword{{Name: "a"}, {Name: "old"}, {Name: "c"}}
		var ids []int64
		_, err := insert().Model(&rows).Ignore().Returning("id").Exec(ctx, &ids)
		require.NoError(t, err)
		require.Equal(t, []int64{keyOf(ctx, t, db, "a"), keyOf(ctx, t, db, "c")}, ids)
		require.Equal(t, []keyword{{Name: "a"}, {Name: "old"}, {Name: "c"}}, rows)
	})
}

// With a statement log, Bun's text of the statement is asked for once more
// when the rows are read.
func TestIgnoredRowsAreRecorded(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]echobun.Config{
		"RecordQueries": {RecordQueries: true},
		"LogStatements": {LogStatements: true},
		"SlowQuery":     {SlowQuery: time.Nanosecond},
		"LogArgs":       {LogStatements: true, LogArgs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.DatabaseURI, cfg.Logger = sqliteURL(t), slog.New(slog.DiscardHandler)
			x := newExtension(t, cfg, (*keyword)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			for range 2 {
				rows := []keyword{{Name: "a"}, {Name: "b"}}
				require.NotPanics(t, func() {
					_, err := db.NewInsert().Model(&rows).Ignore().Exec(ctx)
					require.NoError(t, err)
				})
			}
			if name == "RecordQueries" {
				records, _ := db.Queries()
				require.Zero(t, records[len(records)-1].Rows)
			}
		})
	}
}

// An upsert answers for each row.
func TestUpsertedRowsGetTheirKeys(t *testing.T) {
	t.Parallel()
	throughDoors(t, func(ctx context.Context, t *testing.T, db *echobun.Session, insert func() *bun.InsertQuery) {
		on := "CONFLICT (name) DO UPDATE"
		if db.Bind("").Dialect().Name() == dialect.MySQL {
			on = "DUPLICATE KEY UPDATE"
		}
		rows := []keyword{{Name: "a", Rank: 1}, {Name: "old", Rank: 2}, {Name: "c", Rank: 3}}
		_, err := insert().Model(&rows).On(on).Exec(ctx)
		require.NoError(t, err)
		for i, name := range []string{"a", "old", "c"} {
			require.Equal(t, keyword{ID: keyOf(ctx, t, db, name), Name: name, Rank: i + 1}, rows[i])
		}
	})
}

// A deadlock in the middle of an INSERT has the same rows sent again.
func TestRetriesInsertAllRows(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.MariaDB(t).URL()}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	other, err := x.Engine().DB.Conn(ctx)
	require.NoError(t, err)
	defer other.Close()
	send := func(query string) {
		_, err := other.ExecContext(ctx, query)
		require.NoError(t, err)
	}
	send("CREATE TABLE filler (n int)")
	send("BEGIN")
	send("INSERT INTO filler SELECT seq FROM seq_1_to_5000") // The heavier transaction survives.
	send("INSERT INTO keywords (name) VALUES ('d')")

	rows := []*keyword{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}}
	done, runs := make(chan error, 1), 0
	go func() {
		done <- db.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(ctx context.Context, tx *echobun.Session) error {
			runs++
			_, err := tx.NewInsert().Model(&rows).Exec(ctx)
			return err
		})
	}()
	require.Eventually(t, func() bool { // It waits for "d".
		var n int
		err := db.NewRaw("SELECT COUNT(*) FROM information_schema.processlist "+
			"WHERE db = DATABASE() AND info LIKE 'INSERT%' AND time_ms > 100").Scan(ctx, &n)
		return err == nil && n > 0
	}, 20*time.Second, 10*time.Millisecond)
	send("INSERT INTO keywords (name) VALUES ('a')")
	send("ROLLBACK")
	require.NoError(t, <-done)
	require.Equal(t, 2, runs)
	n, err := db.NewSelect().Model((*keyword)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 5, n)
	for _, row := range rows {
		require.Equal(t, keyOf(ctx, t, db, row.Name), row.ID)
	}
}

// What an UPDATE or a DELETE of a slice returns goes to the elements that it
// is about, or nowhere.
func TestReturnedRowsFindTheirElements(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		if name == dialect.MySQL {
			t.Run("refused", func(t *testing.T) { requireReturningRefused(ctx, t, db) })
			return
		}
		var books []book
		require.NoError(t, db.NewSelect().Model(&books).Order("id DESC").Scan(ctx))
		ids := func() (all []int64) {
			for _, b := range books {
				all = append(all, b.ID)
			}
			return all
		}
		want := ids()
		for i := range books {
			books[i].Pages = 100 + i
		}
		columns := "id, pages, title"
		if name == dialect.PG {
			columns = "b.id, b.pages, b.title"
		}
		_, err := db.NewUpdate().Model(&books).Column("pages").Bulk().Returning(columns).Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, want, ids())
		require.Equal(t, []string{"Dracula", "Emma", "Ulysses"}, titles(books))
		require.Equal(t, []int{100, 101, 102}, []int{books[0].Pages, books[1].Pages, books[2].Pages})

		// Without the key nobody knows whose pages they are.
		books[0].Pages, books[1].Pages, books[2].Pages = 1, 2, 3
		res, err := db.NewUpdate().Model(&books).Set("pages = pages + 10").WherePK().Returning("pages").Exec(ctx)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.Equal(t, want, ids())
		require.Equal(t, []int{1, 2, 3}, []int{books[0].Pages, books[1].Pages, books[2].Pages})

		// A row is gone.
		_, err = db.NewDelete().Model(&books[1]).WherePK().ForceDelete().Exec(ctx)
		require.NoError(t, err)
		res, err = db.NewDelete().Model(&books).WherePK().ForceDelete().Returning("*").Exec(ctx)
		require.NoError(t, err)
		n, err = res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		require.Equal(t, want, ids())
	})
}

// A slice that only waits for the result gets it, and nothing of what was in
// it before.
func TestReturnedRowsReplaceAnOldResult(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		if name == dialect.MySQL {
			t.Run("refused", func(t *testing.T) { requireReturningRefused(ctx, t, db) })
			return
		}
		var books []*book
		require.NoError(t, db.NewSelect().Model(&books).Order("id").Scan(ctx))
		emma := books[1]
		_, err := db.NewUpdate().Model(&books).Set("pages = 1").Where("title <> ?", "Ulysses").Returning("title").Exec(ctx)
		require.NoError(t, err)
		require.ElementsMatch(t, []*book{{Title: "Emma"}, {Title: "Dracula"}}, books)
		require.Equal(t, 474, emma.Pages)
	})
}

// defaulted leaves everything to the database.
type defaulted struct {
	ID    int64     `bun:",pk,autoincrement"`
	Count int       `bun:",notnull,default:7"`
	At    time.Time `bun:",nullzero,notnull,default:current_timestamp"`
}

// held has fields of an interface type.
type held struct {
	ID   int64 `bun:",pk,autoincrement"`
	Data any   `bun:"type:json,nullzero"`
	Text any   `bun:"type:text"`
}
