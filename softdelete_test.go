package echobun_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// observed is what has every statement of a configuration looked at.
func observed(cfg echobun.Config) echobun.Config {
	cfg.RecordQueries, cfg.LogStatements, cfg.SlowQuery = true, true, time.Nanosecond
	cfg.Logger = slog.New(slog.DiscardHandler)
	return cfg
}

// withObservedBooks is withBooks with every statement looked at.
func withObservedBooks(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session)) {
	t.Helper()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, observed(echobun.Config{DatabaseURI: url(t)}), bookModels...)
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			books := []*book{{Title: "Ulysses"}, {Title: "Emma"}, {Title: "Dracula"}}
			require.NoError(t, ran(db.NewInsert().Model(&books).Exec(ctx)))
			run(ctx, t, x, db)
		})
	}
}

// To record a soft delete must not have Bun make it again, which writes another
// time into the model.
func TestObservedSoftDeleteLeavesTheModel(t *testing.T) {
	t.Parallel()
	withObservedBooks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		one, others := &book{ID: 1}, []*book{{ID: 2}, {ID: 3}}
		require.NoError(t, ran(db.NewDelete().Model(one).WherePK().Exec(ctx)))
		require.NoError(t, ran(x.Engine().NewDelete().Model(&others).WherePK().Exec(ctx)))
		for _, row := range append(others, one) {
			stored := &book{ID: row.ID}
			require.NoError(t, db.NewSelect().Model(stored).WherePK().WhereAllWithDeleted().Scan(ctx))
			require.WithinDuration(t, stored.DeletedAt, row.DeletedAt, time.Microsecond)
		}
		if x.Engine().Dialect().Name() == dialect.MySQL {
			return
		}
		again := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		require.NoError(t, ran(db.NewUpdate().Model(one).Set("deleted_at = NULL").WhereDeleted().WherePK().Exec(ctx)))
		require.NoError(t, ran(db.NewDelete().Model(one).WherePK().Returning("? AS deleted_at", again).Exec(ctx)))
		require.True(t, again.Equal(one.DeletedAt), "as it was returned: %s", one.DeletedAt)
	})
}

// What is not deleted holds what it held, whoever has refused it: the database,
// the library or Bun, which writes the time into the model first.
func TestFailedSoftDeleteLeavesTheModel(t *testing.T) {
	t.Parallel()
	withObservedBooks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		before := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		one, some := &book{ID: 1, DeletedAt: before}, []*book{{ID: 1}, {ID: 2, DeletedAt: before}}
		untouched := func(err error, what string) {
			t.Helper()
			require.Error(t, err, what)
			require.Equal(t, &book{ID: 1, DeletedAt: before}, one, what)
			require.Equal(t, []*book{{ID: 1}, {ID: 2, DeletedAt: before}}, some, what)
		}
		for door, start := range map[string]func(model any) *bun.DeleteQuery{
			"session": func(model any) *bun.DeleteQuery { return db.NewDelete().Model(model) },
			"bind":    func(model any) *bun.DeleteQuery { return db.Bind("").NewDelete().Model(model) },
			"engine":  func(model any) *bun.DeleteQuery { return x.Engine().NewDelete().Model(model) },
		} {
			for _, model := range []any{one, &some} {
				untouched(ran(start(model).WherePK().Where("nonsense = 1").Exec(ctx)), door+": refused by the server")
				untouched(ran(start(model).WhereDeleted().Where("nonsense = 1").Exec(ctx)), door+": refused by the server")
				untouched(ran(start(model).Exec(ctx)), door+": no Where")
				untouched(start(model).Where("1 = 1").Scan(ctx, new(int64)), door+": nothing is returned")
				if x.Engine().Dialect().Name() == dialect.MySQL {
					untouched(ran(start(model).WherePK().Limit(1).Exec(ctx)), door+": with Limit")
				}
			}
		}
		untouched(x.Engine().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return ran(tx.NewDelete().Model(one).Exec(ctx))
		}), "no Where in a transaction of Bun's")
		require.NoError(t, ran(db.NewDelete().Model(&book{ID: 1}).WherePK().Exec(ctx)))
		require.NoError(t, ran(db.NewDelete().Model((*book)(nil)).WhereDeleted().Exec(ctx)), "the flag is enough for Bun")
	})
}

// lasting has soft delete and all of Bun's hooks that a query asks the table for.
type lasting struct {
	ID        int64     `bun:",pk,autoincrement"`
	DeletedAt time.Time `bun:",soft_delete,nullzero"`
}

func (*lasting) BeforeSelect(ctx context.Context, _ *bun.SelectQuery) error {
	return called(ctx, "BeforeSelect")
}

func (*lasting) AfterSelect(ctx context.Context, _ *bun.SelectQuery) error {
	return called(ctx, "AfterSelect")
}

func (*lasting) BeforeInsert(ctx context.Context, _ *bun.InsertQuery) error {
	return called(ctx, "BeforeInsert")
}

func (*lasting) AfterInsert(ctx context.Context, _ *bun.InsertQuery) error {
	return called(ctx, "AfterInsert")
}

func (*lasting) BeforeUpdate(ctx context.Context, _ *bun.UpdateQuery) error {
	return called(ctx, "BeforeUpdate")
}

func (*lasting) AfterUpdate(ctx context.Context, _ *bun.UpdateQuery) error {
	return called(ctx, "AfterUpdate")
}

func (*lasting) AfterDelete(ctx context.Context, _ *bun.DeleteQuery) error {
	return called(ctx, "AfterDelete")
}

// BeforeDelete says which rows, which no caller has to.
func (*lasting) BeforeDelete(ctx context.Context, q *bun.DeleteQuery) error {
	q.Where("id < ?", 100)
	return called(ctx, "BeforeDelete")
}

func (*lasting) BeforeCreateTable(ctx context.Context, _ *bun.CreateTableQuery) error {
	return called(ctx, "BeforeCreateTable")
}

func (*lasting) AfterCreateTable(ctx context.Context, _ *bun.CreateTableQuery) error {
	return called(ctx, "AfterCreateTable")
}

func (*lasting) BeforeDropTable(ctx context.Context, _ *bun.DropTableQuery) error {
	return called(ctx, "BeforeDropTable")
}

func (*lasting) AfterDropTable(ctx context.Context, _ *bun.DropTableQuery) error {
	return called(ctx, "AfterDropTable")
}

type calledKey struct{}

// called notes a hook's call. It fails if that is the one that is to fail.
func called(ctx context.Context, hook string) error {
	c, ok := ctx.Value(calledKey{}).(*struct {
		hooks []string
		fails string
	})
	if !ok {
		return nil
	}
	c.hooks = append(c.hooks, hook)
	if c.fails == hook {
		return errHook
	}
	return nil
}

// The hooks of a model with soft delete are called as those of any other.
func TestHooksOfAModelWithSoftDelete(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, (*lasting)(nil))
	ctx, db := newSession(t, x)
	var c struct {
		hooks []string
		fails string
	}
	ctx = context.WithValue(ctx, calledKey{}, &c)
	row := &lasting{ID: 1}
	steps := []struct {
		name string
		run  func() error
	}{
		{"CreateTable", func() error { return ran(db.NewCreateTable().Model(row).Exec(ctx)) }},
		{"Insert", func() error { return ran(db.NewInsert().Model(row).Exec(ctx)) }},
		{"Select", func() error { return db.NewSelect().Model(row).WherePK().Scan(ctx) }},
		{"Update", func() error { return ran(db.NewUpdate().Model(row).WherePK().Exec(ctx)) }},
		{"Delete", func() error { return ran(db.NewDelete().Model(row).Exec(ctx)) }},
		{"DropTable", func() error { return ran(db.NewDropTable().Model(row).Exec(ctx)) }},
	}
	for _, step := range steps {
		c.hooks, c.fails = nil, "Before"+step.name
		require.ErrorIs(t, step.run(), errHook)
		require.Equal(t, step.name == "DropTable", !row.DeletedAt.IsZero(), step.name)
		c.fails = "After" + step.name
		require.ErrorIs(t, step.run(), errHook)
		require.Equal(t, []string{"Before" + step.name, "Before" + step.name, "After" + step.name}, c.hooks)
	}
	c.hooks, c.fails = nil, ""
	require.NoError(t, errors.Join(x.CreateAll(ctx), x.DropAll(ctx)))
	require.Contains(t, c.hooks, "AfterDropTable")
}
