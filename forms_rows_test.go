package echobun_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// TestNewValuesOfTable asserts that a Table is no row of values.
func TestNewValuesOfTable(t *testing.T) {
	t.Parallel()
	log := auditLog("auth")
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg, log)
	_, db := newSession(t, x)

	for _, model := range []any{log, *log, []*echobun.Table{log}} {
		q := db.NewValues(model)
		_, err := q.AppendQuery(q.DB().QueryGen(), nil)
		require.ErrorContains(t, err, "a Table is no model")
	}
}

// TestModelsBehindInterfaces writes and reads rows through slices of
// interfaces, on each database.
func TestModelsBehindInterfaces(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{
				DatabaseURI: sqliteURL(t),
				Binds:       echobun.Binds{"auth": {URL: url(t)}, "meta": {URL: sqliteURL(t)}},
			}, (*routedNote)(nil), (*formPost)(nil), (*formHit)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			counts := func() string {
				var counts [3]int64
				for i, model := range []any{(*formPost)(nil), (*routedNote)(nil), (*formHit)(nil)} {
					n, err := db.NewSelect().Model(model).Count(ctx)
					require.NoError(t, err)
					counts[i] = n
				}
				return fmt.Sprint(counts)
			}

			first, second, third := &routedNote{Text: "1"}, &routedNote{Text: "2"}, &routedNote{Text: "3"}
			_, err := db.NewInsert().Model(&[]any{first, second}).Exec(ctx)
			require.NoError(t, err)
			_, err = db.NewInsert().Model(&[]echobun.BindKeyer{third}).Exec(ctx)
			require.NoError(t, err)
			require.Equal(t, "[0 3 0]", counts())
			require.Equal(t, []int64{1, 2, 3}, []int64{first.ID, second.ID, third.ID})

			_, err = db.NewInsert().Model(&[]any{new(routedNote), new(formPost)}).Exec(ctx)
			var modelErr *echobun.ModelError
			require.ErrorAs(t, err, &modelErr)
			require.Equal(t, "[0 3 0]", counts())

			wanted := &routedNote{ID: 2}
			found := []any{wanted}
			require.NoError(t, db.NewSelect().Model(&found).WherePK().Scan(ctx))
			require.Equal(t, []any{wanted}, found)
			require.Equal(t, "2", wanted.Text)
			_, err = db.NewDelete().Model(&[]any{second, third}).WherePK().Exec(ctx)
			require.NoError(t, err)
			require.Equal(t, "[0 1 0]", counts())
		})
	}
}

// TestModelOfHook routes by the model that a query hook gets from Bun, that of
// a Table too.
func TestModelOfHook(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	var models []bun.Model
	for key, opts := range cfg.Binds {
		opts.Hooks = append(opts.Hooks, modelHook(func(m bun.Model) { models = append(models, m) }))
		cfg.Binds[key] = opts
	}
	x := newExtension(t, cfg, (*routedNote)(nil), auditLog("auth"))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx, "auth"))
	require.NoError(t, db.NewSelect().Model(new([]*routedNote)).Scan(ctx))
	hooks["auth"].take()

	require.NotEmpty(t, models)
	asked := models
	for _, model := range asked {
		_, err := db.For(model).ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)
		require.Len(t, hooks["auth"].take(), 1, "%T", model)
	}
	require.Empty(t, hooks[""].take())
}

// modelHook is given the models of queries.
type modelHook func(bun.Model)

func (modelHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h modelHook) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	if event.Model != nil {
		h(event.Model)
	}
}
