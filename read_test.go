package echobun_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

type poet struct {
	ID    int64   `bun:",pk,autoincrement"`
	Name  string  `bun:",notnull"`
	Poems []*poem `bun:"rel:has-many,join:id=poet_id"`
	First *poem   `bun:"rel:has-one,join:id=poet_id"`
}

type poem struct {
	ID     int64 `bun:",pk,autoincrement"`
	PoetID int64 `bun:",notnull"`
	Poet   *poet `bun:"rel:belongs-to,join:poet_id=id"`
}

// twoPoets has Ada, who has a poem, and Bob, who has none.
func twoPoets(t *testing.T, run func(ctx context.Context, t *testing.T, db *echobun.Session, ada, bob int64)) {
	t.Helper()
	perDatabase(t, []any{(*poet)(nil), (*poem)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		poets := []*poet{{Name: "Ada"}, {Name: "Bob"}}
		_, err := db.NewInsert().Model(&poets).Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewInsert().Model(&[]poem{{PoetID: poets[0].ID}}).Exec(ctx)
		require.NoError(t, err)
		run(ctx, t, db, poets[0].ID, poets[1].ID)
	})
}

// A builder that is used again reads as freshly as a new one, whatever it asks for by then.
func TestBuildersAreUsedAgain(t *testing.T) {
	t.Parallel()
	twoPoets(t, func(ctx context.Context, t *testing.T, db *echobun.Session, ada, bob int64) {
		var one poet
		q := db.NewSelect().Model(&one).Relation("Poems").Relation("First").Order("poet.id")
		for range 2 {
			require.NoError(t, q.Scan(ctx))
			require.Len(t, one.Poems, 1)
		}
		require.NoError(t, q.Where("poet.id = ?", bob).Scan(ctx))
		require.Equal(t, poet{ID: bob, Name: "Bob"}, one)

		var all []poet
		q = db.NewSelect().Model(&all).Relation("Poems").Order("poet.id")
		require.NoError(t, q.Scan(ctx))
		require.NoError(t, q.Column("poet.id").Where("poet.id = ?", bob).Scan(ctx))
		require.Equal(t, []poet{{ID: bob}}, all)

		// Clones have the model of what they were made of, if they have no other.
		base := db.NewSelect().Model(&all).Relation("Poems").Column("poet.id")
		for _, id := range []int64{ada, bob, ada} {
			require.NoError(t, base.Clone().Where("poet.id = ?", id).Scan(ctx))
			require.Len(t, all, 1)
			require.Equal(t, id, all[0].ID)
			require.Equal(t, id == ada, len(all[0].Poems) == 1)
		}
	})
}

// A query in brackets may read the table of a relation.
func TestReadAgainWithASubquery(t *testing.T) {
	t.Parallel()
	twoPoets(t, func(ctx context.Context, t *testing.T, db *echobun.Session, ada, _ int64) {
		poems := func() *bun.SelectQuery { return db.NewSelect().Model((*poem)(nil)).ColumnExpr("count(*)") }
		one := poet{ID: ada}
		q := db.NewSelect().Model(&one).Relation("Poems").Column("poet.id").ColumnExpr("(?) AS name", poems()).Where("poet.id = ?", ada)
		with := db.NewSelect().Model(&one).Relation("Poems").With("p", poems()).Column("poet.id").Where("poet.id = ?", ada)
		for range 2 {
			require.NoError(t, q.Scan(ctx))
			require.Len(t, one.Poems, 1)
			require.NoError(t, with.Scan(ctx))
			require.Len(t, one.Poems, 1)
		}
	})
}

// A clone that has another model leaves that of the original alone.
func TestClonesReadIntoTheirOwnModel(t *testing.T) {
	t.Parallel()
	twoPoets(t, func(ctx context.Context, t *testing.T, db *echobun.Session, ada, _ int64) {
		one, other := poet{ID: ada}, poet{ID: ada}
		q := db.NewSelect().Model(&one).Relation("Poems").Relation("First").Where("poet.id = ?", ada)
		require.NoError(t, q.Scan(ctx))
		want := one
		require.NoError(t, q.Clone().Model(&other).Relation("Poems").Relation("First").Scan(ctx))
		require.Len(t, other.Poems, 1)
		require.Equal(t, want, one)

		parts := make([][]poet, 8)
		var group sync.WaitGroup
		for i := range parts {
			group.Go(func() {
				var name string
				assert.NoError(t, q.Clone().Model(&parts[i]).Relation("Poems").Scan(ctx))
				assert.NoError(t, q.Clone().Model((*poet)(nil)).Column("name").Scan(ctx, &name))
				assert.Equal(t, "Ada", name)
			})
		}
		group.Wait()
		for _, part := range parts {
			require.Len(t, part, 1)
			require.Len(t, part[0].Poems, 1)
		}
		require.Equal(t, want, one)
	})
}

// What no row has come for is as it was.
func TestRelationsStayWithoutARow(t *testing.T) {
	t.Parallel()
	twoPoets(t, func(ctx context.Context, t *testing.T, db *echobun.Session, ada, _ int64) {
		one := poet{Poems: []*poem{{ID: 7}}, First: &poem{ID: 8}}
		want := one
		q := func() *bun.SelectQuery { return db.NewSelect().Model(&one).Relation("Poems").Relation("First") }
		require.ErrorIs(t, q().Where("1 = 0").Scan(ctx), sql.ErrNoRows)
		require.Equal(t, want, one)
		require.Error(t, q().Where("nonsense").Scan(ctx))
		require.Equal(t, want, one)
		over, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, q().Scan(over), context.Canceled)
		require.Equal(t, want, one)
		require.NoError(t, q().Where("poet.id = ?", ada).Scan(ctx))
		require.Len(t, one.Poems, 1)
		require.NotEqual(t, want.Poems, one.Poems)
	})
}

// A model that is read again holds nothing of what it held before.
func TestModelsAreReadAgain(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*poet)(nil), (*poem)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		poets := []*poet{{Name: "Ada"}, {Name: "Bob"}}
		_, err := db.NewInsert().Model(&poets).Exec(ctx)
		require.NoError(t, err)
		ada, bob := poets[0], poets[1]
		_, err = db.NewInsert().Model(&[]poem{{PoetID: ada.ID}}).Exec(ctx)
		require.NoError(t, err)

		var all []poet
		for range 2 {
			require.NoError(t, db.NewSelect().Model(&all).Relation("Poems").Relation("First").Order("poet.id").Scan(ctx))
			require.Len(t, all[0].Poems, 1)
			require.NotNil(t, all[0].First)
			require.Empty(t, all[1].Poems)
		}
		before := all
		require.NoError(t, db.NewSelect().Model(&all).Relation("Poems").Relation("First").Where("poet.id = ?", bob.ID).Scan(ctx))
		require.Equal(t, []poet{{ID: bob.ID, Name: "Bob"}}, all)
		require.Equal(t, "Ada", before[0].Name)
		require.NoError(t, db.NewSelect().Model(&all).Column("id").Order("id").Scan(ctx))
		require.Equal(t, []poet{{ID: ada.ID}, {ID: bob.ID}}, all)

		var one poet
		for range 2 {
			require.NoError(t, db.NewSelect().Model(&one).Relation("Poems").Relation("First").Where("poet.id = ?", ada.ID).Scan(ctx))
			require.Len(t, one.Poems, 1)
			require.NotNil(t, one.First)
		}
		require.NoError(t, db.NewSelect().Model(&one).Relation("Poems").Relation("First").Where("poet.id = ?", bob.ID).Scan(ctx))
		require.Equal(t, poet{ID: bob.ID, Name: "Bob"}, one)

		// What the database does not get to see is as it was.
		one.Poems = []*poem{{ID: 7}}
		err = db.NewSelect().Model(&one).Relation("Poems").Where("nonsense").Scan(ctx)
		require.Error(t, err)
		require.Len(t, one.Poems, 1)
		require.NoError(t, db.NewSelect().Model(&one).WherePK().Scan(ctx))
		require.Len(t, one.Poems, 1)

		// The slice says which rows, and their keys go elsewhere.
		var ids []int64
		require.NoError(t, db.NewSelect().Model(&poets).Column("id").WherePK().Order("id").Scan(ctx, &ids))
		require.Equal(t, []int64{ada.ID, bob.ID}, ids)
		require.Equal(t, []*poet{ada, bob}, poets)
	})
}
