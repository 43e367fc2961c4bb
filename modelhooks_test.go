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

// Models that Bun makes statements of in all its ways: with a column that the
// database fills in, without one, and with soft delete.
type (
	nilNote struct {
		bun.BaseModel `bun:"table:nil_notes"`

		ID   int64     `bun:",pk,autoincrement"`
		Text string    `bun:"type:varchar(20),notnull"`
		At   time.Time `bun:",nullzero,notnull,default:current_timestamp"`
	}
	nilPlain struct {
		bun.BaseModel `bun:"table:nil_plains"`

		ID   int64  `bun:",pk"`
		Text string `bun:"type:varchar(20)"`
	}
	nilSoft struct {
		bun.BaseModel `bun:"table:nil_softs"`

		ID      int64     `bun:",pk"`
		Deleted time.Time `bun:",soft_delete,nullzero"`
	}
	nilHooked struct { // Its hooks are called with what it has.
		bun.BaseModel `bun:"table:nil_plains"`

		ID   int64 `bun:",pk"`
		Text string
	}
)

func (h *nilHooked) BeforeAppendModel(context.Context, bun.Query) error {
	h.Text = "hooked"
	return nil
}

// withNilModels runs a test on each database, with a row in each table.
func withNilModels(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session)) {
	t.Helper()
	perDatabase(t, []any{(*nilNote)(nil), (*nilPlain)(nil), (*nilSoft)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for _, row := range []any{&nilNote{ID: 1, Text: "a"}, &nilPlain{ID: 1, Text: "a"}, &nilSoft{ID: 1}} {
			_, err := db.NewInsert().Model(row).Exec(ctx)
			require.NoError(t, err)
		}
		run(ctx, t, x, db)
		for _, model := range []any{(*nilNote)(nil), (*nilPlain)(nil), (*nilSoft)(nil)} {
			n, err := db.NewSelect().Model(model).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "%T", model)
		}
	})
}

// doorsOf are the ways in which a program comes by Bun's builders.
func doorsOf(x *echobun.Extension, db *echobun.Session) map[string]bun.IDB {
	return map[string]bun.IDB{"bind": db.Bind(echobun.DefaultBind), "for": db.For((*nilNote)(nil)), "engine": x.Engine()}
}

// Bun panics at a nil that it should take values from.
func TestNilAmongValuesIsRefused(t *testing.T) {
	t.Parallel()
	withNilModels(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		for name, model := range map[string]any{
			"nil":                 (*nilNote)(nil),
			"nil, plain":          (*nilPlain)(nil),
			"nil element":         &[]*nilNote{nil},
			"nil element, plain":  &[]*nilPlain{nil},
			"second, plain":       &[]*nilPlain{{ID: 2}, nil},
			"second":              &[]*nilNote{{ID: 2}, nil},
			"element, soft":       &[]*nilSoft{{ID: 2}, nil},
			"with hooks":          &[]*nilHooked{{ID: 2}, nil},
			"in an interface":     &[]any{&nilNote{}, (*nilNote)(nil)},
			"interface":           &[]any{nil},
			"pointer to a slice":  (*[]nilNote)(nil),
			"nil map":             (*map[string]any)(nil),
			"nil maps":            (*[]map[string]any)(nil),
			"no elements":         new([]nilNote),
			"no elements, plain":  &[]*nilPlain{},
			"slices in a slice":   &[][]*nilNote{{nil}},
			"pointers to a slice": &[]**nilNote{nil},
		} {
			_, err := db.NewInsert().Model(model).Exec(ctx)
			requireModelError(t, err, "", name)
			err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				_, err := tx.NewInsert().Model(model).Returning("*").Exec(ctx)
				requireModelError(t, err, "", name)
				return nil
			})
			require.NoError(t, err, name)
			requireModelError(t, db.Bind(echobun.DefaultBind).NewSelect().With("v", db.NewValues(model)).Table("v").Scan(ctx, new(map[string]any)), "", name)
		}
		for name, door := range doorsOf(x, db) {
			for _, model := range []any{(*nilNote)(nil), &[]*nilPlain{{ID: 2}, nil}, &[]*nilNote{nil}, new([]nilNote)} {
				_, err := door.NewInsert().Model(model).Exec(ctx)
				requireModelError(t, err, "", "%s: %T", name, model)
			}
		}
	})
}

func TestNilKeysAreRefused(t *testing.T) {
	t.Parallel()
	withNilModels(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		for name, door := range doorsOf(x, db) {
			for what, run := range map[string]func() error{
				"update": func() error {
					_, err := door.NewUpdate().Model((*nilPlain)(nil)).Set("text = 'x'").WherePK().Exec(ctx)
					return err
				},
				"update of a slice": func() error {
					_, err := door.NewUpdate().Model(&[]*nilPlain{{ID: 1}, nil}).Set("text = 'x'").WherePK().Exec(ctx)
					return err
				},
				"bulk": func() error {
					_, err := door.NewUpdate().Model(&[]*nilPlain{{ID: 1}, nil}).Column("text").Bulk().Exec(ctx)
					return err
				},
				"bulk of nothing": func() error {
					_, err := door.NewUpdate().Model(&[]*nilPlain{}).Column("text").Bulk().Exec(ctx)
					return err
				},
				"delete": func() error {
					_, err := door.NewDelete().Model((*nilPlain)(nil)).WherePK().Exec(ctx)
					return err
				},
				"delete of a slice": func() error {
					_, err := door.NewDelete().Model(&[]*nilPlain{{ID: 1}, nil}).WherePK().Exec(ctx)
					return err
				},
				"soft delete": func() error {
					_, err := door.NewDelete().Model((*nilSoft)(nil)).WherePK().Exec(ctx)
					return err
				},
				"soft delete of a slice": func() error {
					_, err := door.NewDelete().Model(&[]*nilSoft{{ID: 1}, nil}).Where("1 = 1").Exec(ctx)
					return err
				},
				"values": func() error {
					if name == "engine" {
						return &echobun.ModelError{} // Bun's alone.
					}
					return door.NewSelect().With("v", door.NewValues(&[]*nilPlain{{ID: 1}, nil})).Table("v").Scan(ctx, new([]map[string]any))
				},
			} {
				requireModelError(t, run(), "", "%s: %s", name, what)
			}
		}
	})
}

// A (*T)(nil) names a table, wherever no values are taken from it.
func TestNilNamesATable(t *testing.T) {
	t.Parallel()
	withNilModels(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		_, err := db.NewInsert().Model((*nilPlain)(nil)).Column("id", "text").Value("id", "?", 2).Value("text", "?", "b").Exec(ctx)
		require.NoError(t, err)
		_, err = db.NewUpdate().Model((*nilPlain)(nil)).Set("text = 'c'").Where("id = 2").Exec(ctx)
		require.NoError(t, err)
		var rows []*nilPlain
		require.NoError(t, db.NewSelect().Model((*nilPlain)(nil)).Where("text = 'c'").Scan(ctx, &rows))
		require.Equal(t, []*nilPlain{{ID: 2, Text: "c"}}, rows)
		if x.Engine().Dialect().Name() == dialect.PG { // The others know no such list, or no alias in RETURNING.
			changed, values := []nilPlain{}, db.NewValues(&[]nilPlain{{ID: 2, Text: "d"}})
			_, err = db.NewUpdate().Model(&changed).With("_data", values).TableExpr("_data").
				Set("text = _data.text").Where("nil_plain.id = _data.id").Returning("nil_plain.id, nil_plain.text").Exec(ctx)
			require.NoError(t, err)
			require.Equal(t, []nilPlain{{ID: 2, Text: "d"}}, changed)
		}
		_, err = db.NewDelete().Model((*nilPlain)(nil)).Where("id = 2").Exec(ctx)
		require.NoError(t, err)
	})
}

func TestModelsThatAreNoPointers(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t)
	x := newExtension(t, cfg)
	ctx, db := newSession(t, x)
	note := &nilNote{}
	for _, model := range []any{nilNote{}, []nilNote{{}}, []*nilNote{note}, map[string]any{"text": "a"}, &note, &[][]nilNote{{}}, new([1]nilNote)} {
		_, err := db.NewInsert().Model(model).Exec(ctx)
		requireModelError(t, err, "give", "%T", model)
		_, err = db.NewUpdate().Model(model).Where("1 = 1").Exec(ctx)
		requireModelError(t, err, "give", "%T", model)
		_, err = db.NewDelete().Model(model).Where("1 = 1").Exec(ctx)
		requireModelError(t, err, "give", "%T", model)
		requireModelError(t, db.NewSelect().Model(model).Scan(ctx), "give", "%T", model)
		_, err = db.NewCreateTable().Model(model).Exec(ctx)
		requireModelError(t, err, "give", "%T", model)
	}
	for key, hook := range hooks {
		require.Empty(t, hook.take(), "bind %q", key)
	}
}

// TestSetValuesOfAMap sets what a map has, and nothing without a word.
func TestSetValuesOfAMap(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PostgreSQL", "SQLite"} { // MariaDB has no ON CONFLICT.
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: databases[name](t)}, (*nilPlain)(nil))
			ctx, db := newSchema(t, x)
			_, err := db.NewInsert().Model(&nilPlain{ID: 1, Text: "a"}).Exec(ctx)
			require.NoError(t, err)
			put := func() *bun.InsertQuery {
				return db.NewInsert().Model(&nilPlain{ID: 1, Text: "b"}).On("CONFLICT (id) DO UPDATE")
			}
			require.NoError(t, ran(put().SetValues(db.NewValues(&map[string]any{"text": "c"})).Exec(ctx)))
			require.Error(t, ran(put().Set("text = 'd'").SetValues(db.NewValues((*nilPlain)(nil))).Exec(ctx)))
			require.Error(t, ran(put().Set("text = 'd'").SetValues(db.NewValues(&[]nilPlain{})).Exec(ctx)))
			var text string
			require.NoError(t, db.NewSelect().Model((*nilPlain)(nil)).Column("text").Where("id = 1").Scan(ctx, &text))
			require.Equal(t, "c", text)
		})
	}
}
