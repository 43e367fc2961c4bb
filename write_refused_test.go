package echobun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/feature"

	"github.com/echobun/echobun"
)

func requireReturningRefused(ctx context.Context, t *testing.T, db *echobun.Session) {
	t.Helper()
	for name, run := range map[string]func() error{
		"exec": func() error {
			_, err := db.NewUpdate().Model(new(book)).Set("pages = 1").Where("1 = 1").Returning("*").Exec(ctx)
			return err
		},
		"scan": func() error {
			return db.NewUpdate().Model(new(book)).Set("pages = 1").Where("1 = 1").Returning("pages").Scan(ctx)
		},
		"soft delete": func() error {
			_, err := db.NewDelete().Model(new(book)).Where("1 = 1").Returning("*").Exec(ctx)
			return err
		},
	} {
		var modelErr *echobun.ModelError
		var unsupported *feature.NotSupportError
		err := run()
		require.ErrorAs(t, err, &modelErr, name)
		require.ErrorAs(t, err, &unsupported, name)
		requireUntouched(ctx, t, db)
	}
}

// requireUntouched requires that the books are as they were.
func requireUntouched(ctx context.Context, t *testing.T, db *echobun.Session) {
	t.Helper()
	n, err := db.NewSelect().Model((*book)(nil)).Where("pages > 100").Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
}

// Bun leaves Order and Limit of a soft delete out, where the database has them.
func TestSoftDeleteWithLimitIsRefused(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		for what, q := range map[string]*bun.DeleteQuery{
			"limit": db.NewDelete().Model((*book)(nil)).Where("1 = 1").Limit(1),
			"order": db.NewDelete().Model((*book)(nil)).Where("1 = 1").Order("id"),
			"expr":  db.Bind(echobun.DefaultBind).NewDelete().Model((*book)(nil)).Where("1 = 1").OrderExpr("id DESC").Limit(1),
		} {
			_, err := q.Exec(ctx)
			var unsupported *feature.NotSupportError
			require.ErrorAs(t, err, &unsupported, what)
			requireUntouched(ctx, t, db)
		}
		if name != dialect.MySQL {
			return
		}
		_, err := db.NewDelete().Model((*book)(nil)).Where("1 = 1").Order("id").Limit(1).ForceDelete().Exec(ctx)
		require.NoError(t, err)
		var left []book
		require.NoError(t, db.NewSelect().Model(&left).Order("id").Scan(ctx))
		require.Equal(t, []string{"Emma", "Dracula"}, titles(left))
	})
}

// Rows that a statement does not return are not waited for when it is done.
func TestRowsOfAStatementWithoutRows(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, _ dialect.Name) {
		for name, run := range map[string]func() error{
			"insert": func() error {
				return db.NewInsert().Model(&book{ID: 50, Title: "x"}).Returning("NULL").Scan(ctx, new(int64))
			},
			"update": func() error {
				return db.NewUpdate().Model((*book)(nil)).Set("pages = 1").Where("1 = 1").Scan(ctx, new(int64))
			},
			"delete": func() error {
				return db.NewDelete().Model((*book)(nil)).Where("1 = 1").Scan(ctx, new(int64))
			},
			"real delete": func() error {
				return db.NewDelete().Model((*book)(nil)).Where("1 = 1").ForceDelete().Scan(ctx, new(int64))
			},
		} {
			var modelErr *echobun.ModelError
			require.ErrorAs(t, run(), &modelErr, name)
			requireUntouched(ctx, t, db)
		}
	})
}

// A RETURNING that the caller has written is as good as Bun's, however it is
// written; the word in quotes or in a comment is none.
func TestRowsOfAReturningByHand(t *testing.T) {
	t.Parallel()
	withBooks(t, func(ctx context.Context, t *testing.T, db *echobun.Session, name dialect.Name) {
		upsert := "CONFLICT (title) DO UPDATE SET pages = 5 "
		if name == dialect.MySQL {
			upsert = "DUPLICATE KEY UPDATE pages = 5 "
		}
		emma := func() *bun.InsertQuery {
			return db.NewInsert().Model(&book{Title: "Emma"}).Value("id", "5").Returning("NULL")
		}
		for _, returning := range []string{"RETURNING pages", "returning pages", "/* why */ Returning\npages", "\n\treturning\tpages"} {
			var pages int
			require.NoError(t, emma().On(upsert+returning).Scan(ctx, &pages), "%q", returning)
			require.Equal(t, 5, pages)
		}
		for _, none := range []string{"", "/* returning pages */", "-- RETURNING pages\n", "-- x"} {
			var modelErr *echobun.ModelError
			require.ErrorAs(t, emma().On(upsert+none).Scan(ctx, new(int)), &modelErr, "%q", none)
		}
		var modelErr *echobun.ModelError
		quoted := emma().On(upsert[:len(upsert)-2]+"length(?) + 1", " RETURNING ").Scan(ctx, new(int))
		require.ErrorAs(t, quoted, &modelErr)
	})
}
