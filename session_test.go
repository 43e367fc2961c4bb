package echobun_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

type book struct {
	bun.BaseModel `bun:"table:books,alias:b"`

	ID        int64     `bun:",pk,autoincrement"`
	Title     string    `bun:",notnull,unique,type:varchar(80)"`
	Pages     int       `bun:",notnull"`
	DeletedAt time.Time `bun:",soft_delete,nullzero"`
}

var bookModels = []any{(*book)(nil)}

// withBooks runs a test on each database, with three books in it.
func withBooks(t *testing.T, run func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name)) {
	t.Helper()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		books := []*book{{Title: "Ulysses", Pages: 730}, {Title: "Emma", Pages: 474}, {Title: "Dracula", Pages: 418}}
		_, err := db.NewInsert().Model(&books).Exec(ctx)
		require.NoError(t, err)
		run(ctx, t, db, x.Engine().Dialect().Name())
	})
}

func titles(books []book) []string {
	all := make([]string, len(books))
	for i, b := range books {
		all[i] = b.Title
	}
	return all
}

func TestSelect(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, _ dialect.Name) {
		var found []book
		require.NoError(t, db.NewSelect().Model(&found).Where("pages > ?", 450).Order("pages").Scan(ctx))
		require.Equal(t, []string{"Emma", "Ulysses"}, titles(found))

		n, err := db.NewSelect().Model((*book)(nil)).Where("pages < ?", 500).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)

		for title, want := range map[string]bool{"Emma": true, "Moby Dick": false} {
			exists, err := db.NewSelect().Model((*book)(nil)).Where("title = ?", title).Exists(ctx)
			require.NoError(t, err)
			require.Equal(t, want, exists, title)
		}

		found = nil
		n, err = db.NewSelect().Model(&found).Order("title").Limit(1).ScanAndCount(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.Equal(t, []string{"Dracula"}, titles(found))
	})
}

func TestSelectIntoOtherDestinations(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, _ dialect.Name) {
		var pages []int
		require.NoError(t, db.NewSelect().Model((*book)(nil)).Column("pages").Order("pages").Scan(ctx, &pages))
		require.Equal(t, []int{418, 474, 730}, pages)

		var rows []map[string]any
		require.NoError(t, db.NewSelect().Model((*book)(nil)).Column("title").Order("title").Limit(1).Scan(ctx, &rows))
		require.Len(t, rows, 1)
		require.EqualValues(t, "Dracula", rows[0]["title"])

		read, err := db.NewSelect().Model((*book)(nil)).Order("title").Rows(ctx)
		require.NoError(t, err)
		defer read.Close()
		count := 0
		for read.Next() {
			count++
		}
		require.NoError(t, read.Err())
		require.Equal(t, 3, count)
	})
}

func TestInsert(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, _ dialect.Name) {
		one := &book{Title: "Kim", Pages: 300}
		_, err := db.NewInsert().Model(one).Exec(ctx)
		require.NoError(t, err)
		require.NotZero(t, one.ID, "the database's id comes back")

		more := []*book{{Title: "She", Pages: 317}, {Title: "Nana", Pages: 442}}
		_, err = db.NewInsert().Model(&more).Exec(ctx)
		require.NoError(t, err)
		require.Greater(t, more[0].ID, one.ID)
		require.NotEqual(t, more[0].ID, more[1].ID)

		found := &book{ID: more[1].ID}
		require.NoError(t, db.NewSelect().Model(found).WherePK().Scan(ctx))
		require.Equal(t, "Nana", found.Title)
	})
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		books := []book{{Title: "Emma", Pages: 1}, {Title: "Kim", Pages: 2}}
		q := db.NewInsert().Model(&books)
		if name == dialect.MySQL {
			q = q.On("DUPLICATE KEY UPDATE").Set("pages = VALUES(pages)")
		} else {
			q = q.On("CONFLICT (title) DO UPDATE").Set("pages = EXCLUDED.pages")
		}
		_, err := q.Exec(ctx)
		require.NoError(t, err)

		var found []book
		require.NoError(t, db.NewSelect().Model(&found).Where("pages < 10").Order("pages").Scan(ctx))
		require.Equal(t, []string{"Emma", "Kim"}, titles(found))
		n, err := db.NewSelect().Model((*book)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, n)
	})
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		res, err := db.NewUpdate().Model((*book)(nil)).Set("pages = pages + ?", 1).Where("title = ?", "Emma").Exec(ctx)
		require.NoError(t, err)
		changed, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, changed)

		emma := new(book)
		require.NoError(t, db.NewSelect().Model(emma).Where("title = ?", "Emma").Scan(ctx))
		require.Equal(t, 475, emma.Pages)

		emma.Pages = 476
		_, err = db.NewUpdate().Model(emma).WherePK().Exec(ctx)
		require.NoError(t, err)
		n, err := db.NewSelect().Model((*book)(nil)).Where("pages = 476").Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)

		if name == dialect.MySQL {
			return // MariaDB knows no VALUES list in a CTE.
		}
		all := []book{{Title: "Emma", Pages: 10}, {Title: "Dracula", Pages: 20}}
		_, err = db.NewUpdate().Model((*book)(nil)).With("_data", db.NewValues(&all)).TableExpr("_data").
			Set("pages = _data.pages").Where("b.title = _data.title").Exec(ctx)
		require.NoError(t, err)
		var pages []int
		require.NoError(t, db.NewSelect().Model((*book)(nil)).Column("pages").Order("pages").Scan(ctx, &pages))
		require.Equal(t, []int{10, 20, 730}, pages)
	})
}

func TestSoftDelete(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, _ dialect.Name) {
		_, err := db.NewDelete().Model((*book)(nil)).Where("title = ?", "Emma").Exec(ctx)
		require.NoError(t, err)

		count := func(q *bun.SelectQuery) int64 {
			n, err := q.Count(ctx)
			require.NoError(t, err)
			return n
		}
		require.EqualValues(t, 2, count(db.NewSelect().Model((*book)(nil))))
		require.EqualValues(t, 1, count(db.NewSelect().Model((*book)(nil)).WhereDeleted()))
		require.EqualValues(t, 3, count(db.NewSelect().Model((*book)(nil)).WhereAllWithDeleted()))

		_, err = db.NewDelete().Model((*book)(nil)).Where("title = ?", "Dracula").ForceDelete().Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, count(db.NewSelect().Model((*book)(nil)).WhereAllWithDeleted()))
	})
}

func TestMerge(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		rows := []book{{Title: "Emma", Pages: 1}, {Title: "Kim", Pages: 2}}
		_, err := db.NewMerge().Model(new(book)).With("_data", db.NewValues(&rows)).
			Using("_data").On("b.title = _data.title").
			WhenUpdate("MATCHED", func(q *bun.UpdateQuery) *bun.UpdateQuery { return q.Set("pages = _data.pages") }).
			WhenInsert("NOT MATCHED", func(q *bun.InsertQuery) *bun.InsertQuery {
				return q.Value("title", "_data.title").Value("pages", "_data.pages")
			}).Exec(ctx)
		if name != dialect.PG {
			require.ErrorContains(t, err, "not supported")
			return
		}
		require.NoError(t, err)
		var found []book
		require.NoError(t, db.NewSelect().Model(&found).Where("pages < 10").Order("pages").Scan(ctx))
		require.Equal(t, []string{"Emma", "Kim"}, titles(found))
	})
}

func TestDDLBuilders(t *testing.T) {
	t.Parallel()
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		columns := func() []string { return columnNames(ctx, t, db.For((*book)(nil)), "books") }
		require.Empty(t, columns())

		_, err := db.NewCreateTable().Model((*book)(nil)).Exec(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"id", "title", "pages", "deleted_at"}, columns())

		_, err = db.NewAddColumn().Model((*book)(nil)).ColumnExpr("note integer").Exec(ctx)
		require.NoError(t, err)
		require.Contains(t, columns(), "note")
		_, err = db.NewDropColumn().Model((*book)(nil)).Column("note").Exec(ctx)
		require.NoError(t, err)
		require.NotContains(t, columns(), "note")

		_, err = db.NewInsert().Model(&book{Title: "Emma", Pages: 1}).Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewCreateIndex().Model((*book)(nil)).Unique().Index("ix_books_pages").Column("pages").Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewInsert().Model(&book{Title: "Kim", Pages: 1}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)

		_, err = db.NewTruncateTable().Model((*book)(nil)).Exec(ctx)
		require.NoError(t, err)
		n, err := db.NewSelect().Model((*book)(nil)).Count(ctx)
		require.NoError(t, err)
		require.Zero(t, n)

		_, err = db.NewDropTable().Model((*book)(nil)).Exec(ctx)
		require.NoError(t, err)
		require.Empty(t, columns())
	})
}

func TestDropIndexThroughFor(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		_, err := db.NewCreateIndex().Model((*book)(nil)).Unique().Index("ix_pages").Column("pages").Exec(ctx)
		require.NoError(t, err)

		if x.Engine().Dialect().Name() == dialect.MySQL {
			_, err = db.For((*book)(nil)).ExecContext(ctx, "DROP INDEX ix_pages ON books") // Bun's has no ON.
		} else {
			_, err = db.For((*book)(nil)).NewDropIndex().Model((*book)(nil)).Index("ix_pages").Exec(ctx)
		}
		require.NoError(t, err)
		same := []book{{Title: "Emma", Pages: 1}, {Title: "Kim", Pages: 1}}
		_, err = db.NewInsert().Model(&same).Exec(ctx)
		require.NoError(t, err, "the unique index is gone")
	})
}
