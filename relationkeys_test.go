package echobun_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// relParent has a key of one Go type, relChild refers to it by another.
type (
	relParent[P, C any] struct {
		bun.BaseModel `bun:"table:parents,alias:parent"`
		authModel

		ID       P              `bun:",pk"`
		Children []*relChild[C] `bun:"rel:has-many,join:id=parent_id"`
	}
	relChild[C any] struct {
		bun.BaseModel `bun:"table:children,alias:child"`
		authModel

		ID       int64 `bun:",pk,autoincrement"`
		ParentID C
	}
	relID   int64
	relName string
)

// relPair has a many-to-many relation over a table with keys of another type.
type (
	relLeft[K, J any] struct {
		bun.BaseModel `bun:"table:lefts,alias:l"`
		authModel

		ID     K                 `bun:",pk"`
		Rights []*relRight[K, J] `bun:"m2m:pairs,join:Left=Right"`
	}
	relRight[K, J any] struct {
		bun.BaseModel `bun:"table:rights,alias:r"`
		authModel

		ID int64 `bun:",pk"`
	}
	relPair[K, J any] struct {
		bun.BaseModel `bun:"table:pairs,alias:p"`
		authModel

		LeftID  J               `bun:",pk"`
		Left    *relLeft[K, J]  `bun:"rel:belongs-to,join:left_id=id"`
		RightID int64           `bun:",pk"`
		Right   *relRight[K, J] `bun:"rel:belongs-to,join:right_id=id"`
	}
)

// hasMany asserts that a parent of that key is read with its children.
func hasMany[P, C any](parent P, child C) func(context.Context, *testing.T, *echobun.Extension, *echobun.Session) {
	return func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		t.Helper()
		require.NoError(t, x.Register((*relParent[P, C])(nil), (*relChild[C])(nil)))
		require.NoError(t, x.CreateAll(ctx))
		_, err := db.NewInsert().Model(&relParent[P, C]{ID: parent}).Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewInsert().Model(&[]*relChild[C]{{ParentID: child}, {ParentID: child}}).Exec(ctx)
		require.NoError(t, err)

		found := new(relParent[P, C])
		require.NoError(t, db.NewSelect().Model(found).Relation("Children").Scan(ctx))
		require.Len(t, found.Children, 2)
	}
}

// manyToMany is hasMany for relations over a table.
func manyToMany[K, J any](key K, joined J) func(context.Context, *testing.T, *echobun.Extension, *echobun.Session) {
	return func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		t.Helper()
		require.NoError(t, x.Register((*relLeft[K, J])(nil), (*relRight[K, J])(nil), (*relPair[K, J])(nil)))
		require.NoError(t, x.CreateAll(ctx))
		for _, model := range []any{&relLeft[K, J]{ID: key}, &relRight[K, J]{ID: 7}, &relPair[K, J]{LeftID: joined, RightID: 7}} {
			_, err := db.NewInsert().Model(model).Exec(ctx)
			require.NoError(t, err)
		}

		found := new(relLeft[K, J])
		require.NoError(t, db.NewSelect().Model(found).Relation("Rights").Scan(ctx))
		require.Len(t, found.Rights, 1)
	}
}

// TestRelationKeys reads relations by keys of every Go type that Bun finds
// again, on each database.
func TestRelationKeys(t *testing.T) {
	t.Parallel()
	one, name := int64(1), "a"
	keys := map[string]func(context.Context, *testing.T, *echobun.Extension, *echobun.Session){
		"int64":              hasMany(one, one),
		"int32":              hasMany(int32(1), int32(1)),
		"pointer":            hasMany(one, &one),
		"sql.NullInt64":      hasMany(one, sql.NullInt64{Int64: 1, Valid: true}),
		"string":             hasMany(name, &name),
		"sql.NullString":     hasMany(name, sql.NullString{String: name, Valid: true}),
		"named number":       hasMany(relID(1), relID(1)),
		"named string":       hasMany(relName(name), relName(name)),
		"many-to-many":       manyToMany(one, one),
		"many-to-many names": manyToMany(relName(name), relName(name)),
	}
	for database, url := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			for name, run := range keys {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://", Binds: echobun.Binds{"auth": {URL: url(t)}}})
					ctx, db := newSession(t, x)
					run(ctx, t, x, db)
				})
			}
		})
	}
}

// TestRelationKeysOfTwoTypes asserts that keys which Bun never finds equal, as it
// compares Go values, are told when the models are registered or first queried,
// and not when there are rows.
func TestRelationKeysOfTwoTypes(t *testing.T) {
	t.Parallel()
	const twoTypes, noKey = "of two Go types, which Bun never finds equal: give both the same one", "use a string or an array"
	for _, tc := range []struct {
		name   string
		models []any
		text   string
	}{
		{"widths", []any{(*relParent[int64, int32])(nil), (*relChild[int32])(nil)}, twoTypes},
		{"widths behind a pointer", []any{(*relParent[int32, *int64])(nil), (*relChild[*int64])(nil)}, twoTypes},
		{"sign", []any{(*relParent[int64, uint64])(nil), (*relChild[uint64])(nil)}, twoTypes},
		{"named number", []any{(*relParent[relID, int64])(nil), (*relChild[int64])(nil)}, twoTypes},
		{"named string", []any{(*relParent[string, relName])(nil), (*relChild[relName])(nil)}, twoTypes},
		{"sql.NullInt32, which is an int64", []any{(*relParent[int32, sql.NullInt32])(nil), (*relChild[sql.NullInt32])(nil)}, twoTypes},
		{"bytes", []any{(*relParent[[]byte, []byte])(nil), (*relChild[[]byte])(nil)}, noKey},
		{"many-to-many", []any{(*relLeft[int64, int32])(nil), (*relRight[int64, int32])(nil), (*relPair[int64, int32])(nil)}, twoTypes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg, hooks := sqliteBinds(t, "auth")
			x := newExtension(t, cfg)
			ctx, db := newSession(t, x)

			err := x.Register(tc.models...)
			require.NotEmpty(t, modelErrors(t, err))
			require.ErrorContains(t, err, tc.text)
			require.ErrorContains(t, err, "ID (")
			requireNothing(t, x, hooks)
			if len(tc.models) == 2 {
				err = db.NewSelect().Model(tc.models[0]).Scan(ctx)
				var modelErr *echobun.ModelError
				require.ErrorAs(t, err, &modelErr)
				require.ErrorContains(t, err, tc.text)
			}
		})
	}
}

// TestRelationKeysToAnotherBind leaves alone what is taken out anyway.
func TestRelationKeysToAnotherBind(t *testing.T) {
	t.Parallel()
	type parent struct {
		ID   int32  `bun:",pk"`
		Hits []*hit `bun:"rel:has-many,join:id=id"`
	}
	cfg, _ := sqliteBinds(t, "meta")
	newExtension(t, cfg, (*parent)(nil), (*hit)(nil))
}

// TestCountersOfSQLite asserts that a column which SQLite cannot number is told
// by Register: the first INSERT would fail.
func TestCountersOfSQLite(t *testing.T) {
	t.Parallel()
	type composite struct {
		Shop int64 `bun:",pk"`
		ID   int64 `bun:",pk,autoincrement"`
	}
	type beside struct {
		ID  int64 `bun:",pk"`
		Seq int64 `bun:",autoincrement"`
	}
	type wide struct {
		ID int64 `bun:"type:bigint,pk,autoincrement"`
	}
	type named struct {
		ID int64 `bun:"type:integer,pk,autoincrement"`
	}
	type own struct { // It numbers itself.
		Shop int64  `bun:",pk"`
		ID   string `bun:",pk,autoincrement,default:'k'"`
	}
	for text, model := range map[string]any{
		`column "id": autoincrement in a composite primary key`:       (*composite)(nil),
		`column "seq": autoincrement: SQLite numbers nothing but`:     (*beside)(nil),
		`column "id": autoincrement: SQLite numbers nothing but a pr`: (*wide)(nil),
	} {
		cfg, hooks := sqliteBinds(t)
		x := newExtension(t, cfg)
		err := x.Register(model)
		require.Len(t, modelErrors(t, err), 1)
		require.ErrorContains(t, err, text)
		requireNothing(t, x, hooks)
	}

	cfg, _ := sqliteBinds(t)
	x := newExtension(t, cfg, (*named)(nil), (*own)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	for shop := range int64(2) {
		_, err := db.NewInsert().Model(new(named)).Column("id").Value("id", "NULL").Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewInsert().Model(&own{Shop: shop}).Exec(ctx)
		require.NoError(t, err)
	}

	x = newExtension(t, echobun.Config{DatabaseURI: databases["PostgreSQL"](t)}, (*composite)(nil))
	ctx, db = newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	row := &composite{Shop: 3}
	_, err := db.NewInsert().Model(row).Exec(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, row.ID)
}
