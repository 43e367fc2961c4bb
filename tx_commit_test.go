package echobun_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// TestTxCommitOrder records the COMMITs.
func TestTxCommitOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ order, want []string }{
		"first use": {nil, []string{"meta", "", "auth"}},
		"given":     {[]string{"auth", "meta", ""}, []string{"auth", "meta", ""}},
		"in part":   {[]string{"auth"}, []string{"auth", "meta", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := &commits{}
			cfg := echobun.Config{DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}, "meta": {URL: sqliteURL(t)}}}
			cfg.EngineOptions.Hooks = []bun.QueryHook{&commitHook{rec, ""}}
			for key, o := range cfg.Binds {
				o.Hooks = []bun.QueryHook{&commitHook{rec, key}}
				cfg.Binds[key] = o
			}
			x := newExtension(t, cfg, txModels()...)
			ctx, s := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			rec.keys = nil
			require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{Order: tc.order}, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Note{Name: "x"}).Exec(ctx); err != nil {
					return err
				}
				if _, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx)
				return err
			}))
			require.Equal(t, tc.want, rec.keys)
		})
	}
}

type commitHook struct {
	rec *commits
	key string
}

func (h *commitHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h *commitHook) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	if event.Query == "COMMIT" {
		h.rec.mu.Lock()
		defer h.rec.mu.Unlock()
		h.rec.keys = append(h.rec.keys, h.key)
	}
}

// TestTxCommitError has the second of three commits refused by the database.
func TestTxCommitError(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	for _, ddl := range []string{
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE orphans (id INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
	} {
		_, err := s.Bind("auth").NewRaw(ddl).Exec(ctx)
		require.NoError(t, err)
	}
	try := func(name string, order []string) error {
		return s.RunInTx(ctx, &echobun.TxOptions{Order: order}, func(ctx context.Context, tx *echobun.Session) error {
			tx.AfterCommit(func(context.Context) { t.Error("it has not committed") })
			if err := insertAll(ctx, tx, name); err != nil {
				return err
			}
			_, err := tx.Bind("auth").NewRaw("INSERT INTO orphans VALUES (1)").Exec(ctx)
			return err
		})
	}
	err := try("first", []string{"auth"})
	var partial *echobun.CommitError
	var refused *echobun.BindError
	require.False(t, errors.As(err, &partial), "%v", err)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []string{"auth", "COMMIT"}, []string{refused.Bind, refused.Op})
	requireNamed(t, x, "first", 0, 0, 0)

	err = try("later", nil)
	require.ErrorAs(t, err, &partial)
	require.ErrorIs(t, err, echobun.ErrForeignKey)
	require.Equal(t, []string{""}, partial.Committed)
	require.Equal(t, []string{"auth"}, partial.Failed)
	require.Equal(t, []string{"meta"}, partial.RolledBack)
	require.Empty(t, partial.Unknown)
	require.True(t, strings.HasPrefix(err.Error(), `echobun: commit is incomplete: committed: default bind; failed: bind "auth"; rolled back: bind "meta";`), "%v", err)
	requireNamed(t, x, "later", 1, 0, 0)
	requireAtRest(t, x)
}

func TestAfterCommit(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	var ran []string
	note := func(name string) func(context.Context) {
		return func(context.Context) { ran = append(ran, name) }
	}
	s.AfterCommit(note("at once"))
	require.Equal(t, []string{"at once"}, ran)

	ran = nil
	valued, cancel := context.WithCancel(context.WithValue(ctx, valueKey{}, "kept"))
	require.NoError(t, s.RunInTx(valued, nil, func(ctx context.Context, tx *echobun.Session) error {
		tx.AfterCommit(note("first"))
		tx.AfterCommit(func(context.Context) { panic("no matter") })
		require.Error(t, tx.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
			tx.AfterCommit(note("rolled back"))
			return errOfFn
		}))
		require.NoError(t, tx.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
			tx.AfterCommit(note("nested"))
			return nil
		}))
		tx.AfterCommit(func(ctx context.Context) {
			cancel()
			require.NoError(t, ctx.Err())
			require.Equal(t, "kept", ctx.Value(valueKey{}))
			plain, err := x.Session(ctx)
			require.NoError(t, err)
			require.False(t, plain.InTx())
			require.NoError(t, insertAll(ctx, plain, "afterwards"))
		})
		tx.AfterCommit(note("last"))
		require.Empty(t, ran)
		return insertAll(ctx, tx, "row")
	}))
	require.Equal(t, []string{"first", "nested", "last"}, ran)
	requireNamed(t, x, "afterwards", 1, 1, 1)

	ran = nil
	require.Error(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		tx.AfterCommit(note("never"))
		return errOfFn
	}))
	require.Empty(t, ran)

	// What is asked for after the commit runs at once, also from a function that waited for it.
	require.NoError(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		tx.AfterCommit(func(context.Context) {
			ran = append(ran, "first")
			tx.AfterCommit(func(context.Context) { ran = append(ran, "second") })
		})
		return nil
	}))
	require.Equal(t, []string{"first", "second"}, ran)
}
