package echobun_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

type (
	keyNone struct {
		bun.BaseModel `bun:"table:things"`
		ID            int64 `bun:",pk"`
	}
	keyEmbedded struct {
		bun.BaseModel `bun:"table:things"`
		authModel
		ID int64 `bun:",pk"`
	}
	keyOverride struct {
		keyEmbedded
	}
	keyBackToDefault struct {
		keyEmbedded
	}
	keyTwoLevels   struct{ keyEmbedded }
	keyThreeLevels struct{ keyTwoLevels }
	keyOverridden2 struct{ keyOverride } // Takes what its parent says, not its grandparent.
	keyPointer     struct {
		bun.BaseModel `bun:"table:things"`
		ID            int64 `bun:",pk"`
	}
	keyEmbedsPointer struct{ keyPointer }
	keyShallow       struct {
		bun.BaseModel `bun:"table:things"`
		keyDeeper     // Gives "meta", one level further down.
		authModel
		ID int64 `bun:",pk"`
	}
	keyDeeper      struct{ metaModel }
	keyPointerBase struct {
		bun.BaseModel `bun:"table:things"`
		*byPointer          // Its method does without the value.
		ID            int64 `bun:",pk"`
	}
	byPointer   struct{}
	keyOwnField struct {
		bun.BaseModel `bun:"table:things"`
		ID            int64 `bun:",pk"`
		BindKey       string
	}
	keyWins struct { // Its own method ends the argument.
		authModel
		metaModel
		bun.BaseModel `bun:"table:things"`
		ID            int64 `bun:",pk"`
	}
)

func (keyOverride) BindKey() string      { return "meta" }
func (keyBackToDefault) BindKey() string { return echobun.DefaultBind }
func (*keyPointer) BindKey() string      { return "auth" }
func (*byPointer) BindKey() string       { return "auth" }
func (keyWins) BindKey() string          { return "meta" }

func TestBindKeyInheritance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		model any
		bind  string
	}{
		{"no method", (*keyNone)(nil), ""},
		{"embedded", (*keyEmbedded)(nil), "auth"},
		{"override", (*keyOverride)(nil), "meta"},
		{"override back to the default", (*keyBackToDefault)(nil), ""},
		{"two levels", (*keyTwoLevels)(nil), "auth"},
		{"three levels", (*keyThreeLevels)(nil), "auth"},
		{"override in the middle", (*keyOverridden2)(nil), "meta"},
		{"pointer receiver", (*keyPointer)(nil), "auth"},
		{"embedded pointer receiver", (*keyEmbedsPointer)(nil), "auth"},
		{"the shallower one wins", (*keyShallow)(nil), "auth"},
		{"embedded pointer", (*keyPointerBase)(nil), "auth"},
		{"a field of that name", (*keyOwnField)(nil), ""},
		{"own method over two embedded", (*keyWins)(nil), "meta"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg, _ := sqliteBinds(t, "auth", "meta")
			x := newExtension(t, cfg, tc.model)
			for key, metadata := range x.Metadatas() {
				require.Equal(t, key == tc.bind, len(metadata.Tables()) == 1, "bind %q", key)
			}

			// An unregistered model goes the same way.
			cfg, hooks := sqliteBinds(t, "auth", "meta")
			ctx, db := newSession(t, newExtension(t, cfg))
			_, err := db.NewCreateTable().Model(tc.model).Exec(ctx)
			require.NoError(t, err)
			for key, h := range hooks {
				require.Equal(t, key == tc.bind, len(h.take()) == 1, "bind %q", key)
			}
		})
	}
}

type (
	keyAmbiguous struct {
		authModel
		metaModel
		ID int64 `bun:",pk"`
	}
	keyAmbiguousBelow struct{ keyAmbiguous }
	keyDiamond        struct {
		leftAuth
		rightAuth
		ID int64 `bun:",pk"`
	}
	leftAuth   struct{ keyBase }
	rightAuth  struct{ keyBase }
	keyBase    struct{ authModel }
	keyByField struct {
		authModel
		ID      int64 `bun:",pk"`
		BindKey string
	}
	keyByMethod struct {
		ID int64 `bun:",pk"`
	}
	keyWithArgument struct {
		ID int64 `bun:",pk"`
	}
	keyOfNothing struct {
		echobun.BindKeyer
		ID int64 `bun:",pk"`
	}
	keyNilPointer struct {
		*authModel
		ID int64 `bun:",pk"`
	}
	keyPanics struct {
		ID int64 `bun:",pk"`
	}
)

func (keyByMethod) BindKey() int              { return 1 }
func (*keyWithArgument) BindKey(string) error { return nil }
func (keyPanics) BindKey() string             { panic("no key today") }

func TestBindKeyFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		model any
		text  []string
	}{
		{"ambiguous", (*keyAmbiguous)(nil), []string{
			"keyAmbiguous", "ambiguous bind key", "authModel and", "metaModel", "a BindKey method of its own",
		}},
		{"ambiguous further down", (*keyAmbiguousBelow)(nil), []string{"keyAmbiguousBelow", "ambiguous", "authModel", "metaModel"}},
		{"one type on two ways", (*keyDiamond)(nil), []string{"keyDiamond", "ambiguous", "leftAuth", "rightAuth"}},
		{"hidden by a field", (*keyByField)(nil), []string{"keyByField", "authModel is hidden", "a BindKey method of its own"}},
		{"wrong result", (*keyByMethod)(nil), []string{"keyByMethod", "func() int", "want func() string"}},
		{"wrong argument", (*keyWithArgument)(nil), []string{"keyWithArgument", "func(string) error", "want func() string"}},
		{"nil interface", (*keyOfNothing)(nil), []string{"keyOfNothing", "panics on a zero value"}},
		{"nil pointer", (*keyNilPointer)(nil), []string{"keyNilPointer", "panics on a zero value"}},
		{"panics", (*keyPanics)(nil), []string{"keyPanics", "panics on a zero value", "no key today"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg, hooks := sqliteBinds(t, "auth", "meta")
			x := newExtension(t, cfg)
			ctx, db := newSession(t, x)

			check := func(err error) {
				var modelErr *echobun.ModelError
				require.ErrorAs(t, err, &modelErr)
				for _, text := range tc.text {
					require.ErrorContains(t, err, text)
				}
			}
			check(x.Register(tc.model))
			check(db.NewSelect().Model(tc.model).Scan(ctx))
			check(db.NewSelect().Model(tc.model).Scan(ctx)) // It stays so.
			_, err := db.For(tc.model).ExecContext(ctx, "SELECT 1")
			check(err)
			for key, h := range hooks {
				require.Empty(t, h.take(), "bind %q", key)
			}
		})
	}
}

// movingKey is what the BindKey of keyMoves and keyMovesToo says.
var movingKey atomic.Pointer[string]

type keyMoves struct {
	bun.BaseModel `bun:"table:moves"`
	ID            int64 `bun:",pk"`

	TooID int64
	Too   *keyMovesToo `bun:"rel:belongs-to,join:too_id=id"`
}

type keyMovesToo struct {
	bun.BaseModel `bun:"table:moves_too"`
	ID            int64 `bun:",pk"`
}

func (keyMoves) BindKey() string    { return *movingKey.Load() }
func (keyMovesToo) BindKey() string { return *movingKey.Load() }

// TestBindKeyIsReadOnce changes what BindKey says after it was read.
func TestBindKeyIsReadOnce(t *testing.T) { //nolint:paralleltest // It changes what a method returns.
	say := func(key string) { movingKey.Store(&key) }
	setUp := func() (*echobun.Extension, map[string]*sentHook, context.Context, *echobun.Session) {
		cfg, hooks := sqliteBinds(t, "auth", "meta")
		x := newExtension(t, cfg)
		ctx, db := newSession(t, x)
		return x, hooks, ctx, db
	}

	t.Run("registered", func(t *testing.T) { //nolint:paralleltest // As above.
		x, hooks, ctx, db := setUp()
		say("auth")
		require.NoError(t, x.Register((*keyMoves)(nil), (*keyMovesToo)(nil)))
		say("meta")
		require.NoError(t, x.Register((*keyMoves)(nil)), "the same model again")
		require.NoError(t, x.CreateAll(ctx))
		hooks["auth"].take()

		var all []keyMoves
		require.NoError(t, db.NewSelect().Model(&all).Relation("Too").Scan(ctx))
		require.NoError(t, db.NewSelect().Model(new(keyMoves)).Limit(0).Scan(ctx, &all))
		_, err := db.For(keyMoves{}).ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)
		require.Len(t, hooks["auth"].take(), 3)
		require.Empty(t, hooks["meta"].take())
		require.Empty(t, x.Metadatas()["meta"].Tables())
	})

	t.Run("queried", func(t *testing.T) { //nolint:paralleltest // As above.
		_, hooks, ctx, db := setUp()
		say("auth")
		_, err := db.NewCreateTable().Model((*keyMovesToo)(nil)).Exec(ctx)
		require.NoError(t, err)
		say("meta")
		require.NoError(t, db.NewSelect().Model(new([]keyMovesToo)).Scan(ctx))
		require.Len(t, hooks["auth"].take(), 2)
		require.Empty(t, hooks["meta"].take())
	})

	t.Run("refused", func(t *testing.T) { //nolint:paralleltest // As above.
		x, _, ctx, db := setUp()
		say("nowhere")
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, x.Register((*keyMoves)(nil)), &unknown)
		require.ErrorAs(t, db.NewSelect().Model((*keyMoves)(nil)).Scan(ctx), &unknown)
		say("auth")
		require.NoError(t, x.Register((*keyMoves)(nil)), "a key that led nowhere is read again")
		require.NoError(t, x.CreateAll(ctx))
		require.NoError(t, db.NewSelect().Model(new([]keyMoves)).Scan(ctx))
	})
}
