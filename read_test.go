package echobun_test

import (
	"testing"

	"github.com/stretchr/testify/require"

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
