package echobun_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

type shelf struct {
	bun.BaseModel `bun:"table:shelves"`
	authModel

	ID     int64    `bun:",pk,autoincrement"`
	Name   string   `bun:",notnull"`
	Label  *label   `bun:"rel:has-one,join:id=shelf_id"`
	Novels []*novel `bun:"rel:has-many,join:id=shelf_id"`
}

type label struct {
	bun.BaseModel `bun:"table:labels"`
	authModel

	ID      int64 `bun:",pk,autoincrement"`
	ShelfID int64
	Text    string
}

type novel struct {
	bun.BaseModel `bun:"table:novels"`
	authModel

	ID      int64 `bun:",pk,autoincrement"`
	ShelfID int64
	Shelf   *shelf `bun:"rel:belongs-to,join:shelf_id=id"`
	Title   string
	Tags    []*tag `bun:"m2m:novels_tags,join:Novel=Tag"`

	HitID int64
	Hit   *hit `bun:"rel:belongs-to,join:hit_id=id"` // On another bind.
}

type tag struct {
	bun.BaseModel `bun:"table:tags"`
	authModel

	ID     int64    `bun:",pk,autoincrement"`
	Name   string   `bun:",notnull"`
	Novels []*novel `bun:"m2m:novels_tags,join:Tag=Novel"`
}

type novelTag struct {
	bun.BaseModel `bun:"table:novels_tags"`
	authModel

	NovelID int64  `bun:",pk"`
	Novel   *novel `bun:"rel:belongs-to,join:novel_id=id"`
	TagID   int64  `bun:",pk"`
	Tag     *tag   `bun:"rel:belongs-to,join:tag_id=id"`
}

type hit struct {
	bun.BaseModel `bun:"table:hits"`
	metaModel

	ID   int64  `bun:",pk,autoincrement"`
	Page string `bun:",notnull"`
}

// libraryModels come in an order in which each needs a later one.
func libraryModels() []any {
	return []any{(*label)(nil), (*shelf)(nil), (*novel)(nil), (*tag)(nil), (*novelTag)(nil), (*hit)(nil)}
}

// fillLibrary puts two shelves with two novels each and three tags in place.
func fillLibrary(ctx context.Context, t *testing.T, db *echobun.Session) {
	t.Helper()
	insert := func(model any) {
		_, err := db.NewInsert().Model(model).Exec(ctx)
		require.NoError(t, err)
	}
	insert(&[]*shelf{{Name: "left"}, {Name: "right"}})
	insert(&[]*label{{ShelfID: 1, Text: "L"}, {ShelfID: 2, Text: "R"}})
	insert(&[]*novel{{ShelfID: 1, Title: "Emma"}, {ShelfID: 1, Title: "Kim"}, {ShelfID: 2, Title: "She"}, {ShelfID: 2, Title: "Nana"}})
	insert(&[]*tag{{Name: "old"}, {Name: "English"}, {Name: "French"}})
	insert(&[]*novelTag{{NovelID: 1, TagID: 1}, {NovelID: 1, TagID: 2}, {NovelID: 4, TagID: 3}})
}

// withLibrary runs a test with the bind "auth" on each database.
func withLibrary(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session)) {
	t.Helper()
	databases := threeDatabases(t)
	for name, url := range map[string]string{
		"PostgreSQL": databases.DatabaseURI, "MariaDB": databases.Binds["auth"].URL, "SQLite": databases.Binds["meta"].URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{
				DatabaseURI: sqliteURL(t),
				Binds:       echobun.Binds{"auth": {URL: url}, "meta": {URL: sqliteURL(t)}},
			}, libraryModels()...)
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			fillLibrary(ctx, t, db)
			run(ctx, t, x, db)
		})
	}
}

func TestRelations(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		var shelves []*shelf
		require.NoError(t, db.NewSelect().Model(&shelves).Relation("Label").Relation("Novels").Relation("Novels.Tags").
			Order("shelf.id").Scan(ctx))
		require.Len(t, shelves, 2)
		require.Equal(t, "R", shelves[1].Label.Text)
		require.Len(t, shelves[0].Novels, 2)
		require.Equal(t, "Emma", shelves[0].Novels[0].Title)
		require.Len(t, shelves[0].Novels[0].Tags, 2)
		require.Equal(t, "Nana", shelves[1].Novels[1].Title)
		require.Equal(t, "French", shelves[1].Novels[1].Tags[0].Name)

		kim := new(novel)
		require.NoError(t, db.NewSelect().Model(kim).Relation("Shelf").Where("title = ?", "Kim").Scan(ctx))
		require.Equal(t, "left", kim.Shelf.Name)

		english := new(tag)
		require.NoError(t, db.NewSelect().Model(english).Relation("Novels").Where("name = ?", "English").Scan(ctx))
		require.Len(t, english.Novels, 1)
		require.Equal(t, "Emma", english.Novels[0].Title)
	})
}

// TestCrossBindRelation asserts that a relation to a model of another bind
// fails by name, though a table of that name is there to be read.
func TestCrossBindRelation(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		_, err := db.Bind("auth").NewCreateTable().Model((*hit)(nil)).Exec(ctx)
		require.NoError(t, err)

		for _, relation := range []string{"Hit", "Shelf.Novels.Hit"} {
			err = db.NewSelect().Model(new([]novel)).Relation(relation).Scan(ctx)
			require.ErrorContains(t, err, `does not have relation="`+relation+`"`)
			require.ErrorContains(t, err, "Novel")
		}
		err = db.NewSelect().Model(new([]shelf)).Relation("Novels").Relation("Novels.Hit").Scan(ctx)
		require.ErrorContains(t, err, `does not have relation="Novels.Hit"`)

		require.NoError(t, db.NewSelect().Model(new([]novel)).Scan(ctx), "without it the model works")
	})
}

// TestCrossBindRelationOfUnregistered is TestCrossBindRelation for models
// that nobody registered.
func TestCrossBindRelationOfUnregistered(t *testing.T) {
	t.Parallel()
	type review struct {
		authModel
		ID    int64 `bun:",pk"`
		HitID int64
		Hit   *hit `bun:"rel:belongs-to,join:hit_id=id"`
	}
	type chapter struct {
		authModel
		ID       int64 `bun:",pk"`
		ReviewID int64
		Review   *review `bun:"rel:belongs-to,join:review_id=id"`
	}
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	ctx, db := newSession(t, newExtension(t, cfg))
	require.ErrorContains(t, db.NewSelect().Model((*chapter)(nil)).Relation("Review.Hit").Scan(ctx), `Hit"`)
	require.ErrorContains(t, db.NewSelect().Model((*review)(nil)).Relation("Hit").Scan(ctx), `Hit"`)
	require.Empty(t, hooks["auth"].take())
}

// TestJoinModelElsewhere uses a model with a many-to-many relation through
// Bind of another bind: Bun alone panics there, and again ever after.
func TestJoinModelElsewhere(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg, libraryModels()...)
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	fillLibrary(ctx, t, db)

	for range 2 {
		for _, key := range []string{"meta", echobun.DefaultBind, "nowhere"} {
			err := db.Bind(key).NewSelect().Model(new([]novel)).Relation("Tags").Scan(ctx)
			require.Error(t, err, "there is no such table on %q", key)
			require.NotContains(t, err.Error(), "m2m")
		}
	}
	idb := db.Bind("meta")
	for _, model := range []any{(*novel)(nil), (*tag)(nil), (*novelTag)(nil)} {
		_, err := idb.NewCreateTable().Model(model).Exec(ctx)
		require.NoError(t, err)
	}
	_, err := idb.NewInsert().Model(&novel{Title: "elsewhere"}).Exec(ctx)
	require.NoError(t, err)
	_, err = idb.NewInsert().Model(&tag{Name: "meta"}).Exec(ctx)
	require.NoError(t, err)
	_, err = idb.NewInsert().Model(&novelTag{NovelID: 1, TagID: 1}).Exec(ctx)
	require.NoError(t, err)

	for key, want := range map[string]string{"meta": "meta", "auth": "old"} {
		found := new(novel)
		require.NoError(t, db.Bind(key).NewSelect().Model(found).Where("id = 1").Relation("Tags").Scan(ctx))
		require.Equal(t, want, found.Tags[0].Name)
	}
}

// TestJoinModelRegisteredLater registers a many-to-many relation while a
// session holds the bind through which it is used then.
func TestJoinModelRegisteredLater(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg)
	ctx, db := newSession(t, x)
	_, err := db.Bind("meta").ExecContext(ctx, "SELECT 1")
	require.NoError(t, err)

	require.NoError(t, x.Register(libraryModels()...))
	require.NotPanics(t, func() {
		err = db.Bind("meta").NewSelect().Model((*novel)(nil)).Scan(ctx)
	})
	require.ErrorContains(t, err, "no such table")
}

// TestUnregisteredJoin uses models with a many-to-many relation that is not
// registered: an error that says so, and all is well once it is.
func TestUnregisteredJoin(t *testing.T) {
	t.Parallel()
	type footnote struct {
		authModel
		ID      int64 `bun:",pk,autoincrement"`
		NovelID int64
		Novel   *novel `bun:"rel:belongs-to,join:novel_id=id"`
	}
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg)
	ctx, db := newSession(t, x)

	for range 2 {
		err := db.NewSelect().Model((*novel)(nil)).Scan(ctx)
		var modelErr *echobun.ModelError
		require.ErrorAs(t, err, &modelErr)
		require.Equal(t, "auth", modelErr.Bind)
		require.ErrorContains(t, err, `"novels_tags" has no model on bind "auth": register that model too`)
	}
	require.Empty(t, hooks["auth"].take())

	// So does a model that leads there: Bun would panic once the relation is used.
	const missing = `relation Novel to echobun_test.novel: its many-to-many table "novels_tags" has no model`
	require.ErrorContains(t, db.NewSelect().Model((*footnote)(nil)).Relation("Novel").Scan(ctx), missing)
	require.ErrorContains(t, x.Register((*footnote)(nil)), missing)

	// One that was refused together with something else is not registered.
	require.Error(t, x.Register((*novelTag)(nil), (*tag)(nil), (*regNowhere)(nil)))
	require.ErrorContains(t, x.Register((*novel)(nil), (*tag)(nil)), "register that model too")
	require.NoError(t, x.Register(append([]any{(*footnote)(nil)}, libraryModels()...)...))
	require.NoError(t, x.CreateAll(ctx))
	fillLibrary(ctx, t, db)
	_, err := db.NewInsert().Model(&footnote{NovelID: 1}).Exec(ctx)
	require.NoError(t, err)

	found := new(footnote)
	require.NoError(t, db.NewSelect().Model(found).Relation("Novel").Scan(ctx))
	require.Equal(t, "Emma", found.Novel.Title)
	emma := new(novel)
	require.NoError(t, db.NewSelect().Model(emma).Where("novel.id = 1").Relation("Tags").Scan(ctx))
	require.Len(t, emma.Tags, 2)
}

// TestRegisterWhileQuerying registers models while others query them.
func TestRegisterWhileQuerying(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg)
	ctx, end := x.AppContext(t.Context())
	defer end()

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ctx, end := x.AppContext(t.Context())
			defer end()
			db, err := x.Session(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			for range 25 {
				_ = db.NewSelect().Model(new([]shelf)).Relation("Novels").Relation("Novels.Tags").Scan(ctx)
				_ = db.NewSelect().Model(new([]novel)).Relation("Tags").Scan(ctx)
				_ = db.NewSelect().Model((*hit)(nil)).Scan(ctx)
				_ = x.Metadatas()["auth"].Tables()
			}
		})
	}
	for _, model := range []any{(*hit)(nil), (*label)(nil)} {
		require.NoError(t, x.Register(model))
	}
	require.NoError(t, x.Register(libraryModels()...))
	wg.Wait()

	require.NoError(t, x.CreateAll(ctx))
	db, err := x.Session(ctx)
	require.NoError(t, err)
	fillLibrary(ctx, t, db)
	var novels []novel
	require.NoError(t, db.NewSelect().Model(&novels).Relation("Tags").Order("id").Scan(ctx))
	require.Len(t, novels[0].Tags, 2)
}
