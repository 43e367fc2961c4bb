package echobun_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// seqTagging is another model of the table of seqBookTag, which joins nothing.
type seqTagging struct {
	bun.BaseModel `bun:"table:book_tags"`
	authModel

	BookID int64 `bun:",pk"`
	TagID  int64 `bun:",pk"`
}

// TestRegisterAfterUse registers models that are right after Bun has met them,
// or another model of their table, in a way that it does not recover from.
func TestRegisterAfterUse(t *testing.T) {
	t.Parallel()
	selects := func(db bun.IDB, model any) func() {
		return func() { _ = db.NewSelect().Model(model) }
	}
	for name, use := range map[string]func(t *testing.T, x *echobun.Extension, db *echobun.Session){
		"half built by Bind": func(t *testing.T, _ *echobun.Extension, db *echobun.Session) {
			t.Helper()
			require.Panics(t, selects(db.Bind("auth"), (*seqBook)(nil)), "Bun alone")
		},
		"half built by an engine": func(t *testing.T, x *echobun.Extension, _ *echobun.Session) {
			t.Helper()
			require.Panics(t, selects(x.Engines()["auth"], (*seqAuthor)(nil)), "Bun alone")
		},
		"another model of the table between": func(t *testing.T, _ *echobun.Extension, db *echobun.Session) {
			t.Helper()
			_, err := db.NewSelect().Model((*seqTagging)(nil)).AppendQuery(db.Bind("auth").NewSelect().DB().QueryGen(), nil)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 8 { // Bun looks for a table's name in an order of its own each time.
				cfg, _ := sqliteBinds(t, "auth", "meta")
				log := auditLog("auth")
				x := newExtension(t, cfg, log, (*seqPlain)(nil))
				ctx, db := newSession(t, x)
				use(t, x, db)

				require.NoError(t, x.Register(rightModels()...))
				s := &sequence{t: t, x: x, db: db}
				s.use(ctx)
				var taggings []seqTagging
				require.NoError(t, db.NewSelect().Model(&taggings).Scan(ctx))
				require.Len(t, taggings, 1)

				row := map[string]any{"user_id": 1, "action": "login"}
				_, err := db.NewInsert().Table(log).Model(&row).Exec(ctx)
				require.NoError(t, err, "a Table that was there before keeps its names")
				_, err = db.Bind("auth").NewDropTable().Model((*seqPlain)(nil)).Exec(ctx)
				require.NoError(t, err)
				require.NoError(t, x.CreateAll(ctx))
				require.NoError(t, x.DropAll(ctx))
			}
		})
	}
}
