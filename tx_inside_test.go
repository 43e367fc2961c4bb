package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// Relations that need queries of their own are read inside: what they find is
// not committed yet.
func TestTxHasRelations(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.Binds["auth"] = echobun.EngineOptions{URL: cfg.Binds["auth"].URL, MaxOpenConns: 1} // A read outside would wait.
	x := newExtension(t, cfg, libraryModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.Same(t, errOfFn, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		fillLibrary(ctx, t, tx)
		require.NoError(t, tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			var shelves []shelf
			require.NoError(t, tx.NewSelect().Model(&shelves).Relation("Label").Relation("Novels").Relation("Novels.Tags").
				Order("shelf.id").Scan(ctx))
			require.Len(t, shelves, 2)
			require.Equal(t, "L", shelves[0].Label.Text)
			require.Len(t, shelves[0].Novels, 2)
			require.Len(t, shelves[0].Novels[0].Tags, 2)
			return nil
		}))
		return errOfFn
	}))
	requireAtRest(t, x)
	n, err := s.NewSelect().Model((*shelf)(nil)).Count(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// A lock that does not come in time dooms, though MariaDB itself would let the
// transaction go on. On SQLite it is BEGIN that waits.
func TestTxIsDoomedByALockWait(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		name := x.Engine().Dialect().Name().String()
		if name == "sqlite" {
			return
		}
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		_, err := s.NewInsert().Model(&Debit{Name: "row"}).Exec(ctx)
		require.NoError(t, err)
		soon := map[string]string{"pg": "SET LOCAL lock_timeout = '50ms'", "mysql": "SET SESSION innodb_lock_wait_timeout = 1"}
		update := func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = name").Where("name = 'row'").Exec(ctx)
			return err
		}
		require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, holder *echobun.Session) error {
			require.NoError(t, update(ctx, holder))
			other, end := x.AppContext(context.WithoutCancel(ctx))
			defer end()
			os, err := x.Session(other)
			require.NoError(t, err)
			err = os.RunInTx(other, nil, func(ctx context.Context, tx *echobun.Session) error {
				_, err := tx.NewRaw(soon[name]).Exec(ctx)
				require.NoError(t, err)
				_, err = tx.NewInsert().Model(&Debit{Name: "waited"}).Exec(ctx)
				require.NoError(t, err)
				require.Error(t, update(ctx, tx))
				_, err = tx.NewInsert().Model(&Debit{Name: "waited"}).Exec(ctx)
				require.ErrorIs(t, err, echobun.ErrTxDoomed)
				return nil
			})
			require.ErrorIs(t, err, echobun.ErrTxDoomed)
			return nil
		}))
		requireAtRest(t, x)
		n, err := s.NewSelect().Model((*Debit)(nil)).Where("name = 'waited'").Count(ctx)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// The extension is closed meanwhile: what was said is what is there.
func TestTxClosedMeanwhile(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	sound := newExtension(t, cfg, txModels()...)
	soundCtx, _ := newSession(t, sound)
	require.NoError(t, sound.CreateAll(soundCtx))
	for name, nested := range map[string]bool{"closed": false, "closed in a nested one": true} {
		x := newExtension(t, cfg, txModels()...)
		ctx, s := newSession(t, x)
		run := func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insertAll(ctx, tx, name))
			require.NoError(t, x.Close())
			err := insertAll(ctx, tx, name+" late")
			require.ErrorIs(t, err, echobun.ErrClosed)
			return err
		}
		err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			if nested {
				return tx.RunInTx(ctx, nil, run)
			}
			return run(ctx, tx)
		})
		require.ErrorIs(t, err, echobun.ErrClosed)
		requireAtRest(t, x)
		requireNamed(t, sound, name, 0, 0, 0)
		requireNamed(t, sound, name+" late", 0, 0, 0)
		require.ErrorIs(t, s.RunInTx(ctx, nil, nil), echobun.ErrClosed)
		_, err = s.Begin(ctx, nil)
		require.ErrorIs(t, err, echobun.ErrClosed)
	}
}

// Who ignores that the extension is closed cannot commit either.
func TestTxClosedUnnoticed(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	sound, x := newExtension(t, cfg, txModels()...), newExtension(t, cfg, txModels()...)
	soundCtx, _ := newSession(t, sound)
	require.NoError(t, sound.CreateAll(soundCtx))
	ctx, s := newSession(t, x)
	require.ErrorIs(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "unnoticed"))
		return x.Close()
	}), echobun.ErrClosed)
	requireAtRest(t, x)
	requireNamed(t, sound, "unnoticed", 0, 0, 0)
}

// A transaction at work with savepoints: each operation of the driver fails
// in turn.
func TestFailAtTheNthOfSavepoints(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(testing.TB) echobun.Config{
		"three databases": threeDatabases,
		"SQLite": func(tb testing.TB) echobun.Config {
			tb.Helper()
			return echobun.Config{DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}, "meta": {URL: sqliteURL(tb)}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFaultyBank(t, config(t), nil)
			ctx, s := newSession(t, b.faulty)
			require.NoError(t, b.savepoints(ctx, s, "warm", new(int)))
			for _, forever := range []bool{false, true} {
				for _, lost := range []bool{false, true} {
					b.failEachSavepoint(ctx, t, s, forever, lost)
				}
			}
		})
	}
}

// savepoints inserts a row on each bind, one nested transaction in another,
// beside one that is rolled back.
func (b *faultyBank) savepoints(ctx context.Context, s *echobun.Session, name string, hooks *int) error {
	return s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		tx.AfterCommit(func(context.Context) { *hooks++ })
		if _, err := tx.NewInsert().Model(&Debit{Name: name}).Exec(ctx); err != nil {
			return err
		}
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			tx.AfterCommit(func(context.Context) { *hooks += 100 })
			return errors.Join(insertAll(ctx, tx, name+"/gone"), errOfFn)
		})
		if !errors.Is(err, errOfFn) {
			return err
		}
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Credit{Name: name}).Exec(ctx); err != nil {
				return err
			}
			return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				tx.AfterCommit(func(context.Context) { *hooks += 10 })
				_, err := tx.NewInsert().Model(&Note{Name: name}).Exec(ctx)
				return err
			})
		})
	})
}

func (b *faultyBank) failEachSavepoint(ctx context.Context, t *testing.T, s *echobun.Session, forever, lost bool) {
	t.Helper()
	for n := 1; n < 300; n++ {
		name, hooks := fmt.Sprintf("n%d-%v-%v", n, forever, lost), 0
		b.plan.set(n, forever, lost)
		b.err = b.savepoints(ctx, s, name, &hooks)
		requireAtRest(t, b.faulty)
		require.Empty(t, b.rows(t, name+"/gone"), "%v", b.plan.ops)
		if b.err == nil { // What failed was a reset, or in what is rolled back anyhow.
			require.Len(t, b.rows(t, name), 3, "%v", b.plan.ops)
			require.Equal(t, 11, hooks)
		} else {
			require.True(t, slices.ContainsFunc(b.plan.failed, func(key string) bool {
				return strings.Contains(b.err.Error(), nameOf(key))
			}), "%v: %v", b.plan.failed, b.err)
			b.requireRows(t, b.rows(t, name), false)
			require.Zero(t, hooks)
		}
		if b.plan.untouched() {
			require.NoError(t, b.err)
			require.Greater(t, n, 15, "there was hardly an operation")
			return
		}
		b.plan.set(0, false, false)
		hooks = 0
		require.NoError(t, b.savepoints(ctx, s, name+"-next", &hooks))
		require.Equal(t, 11, hooks)
		requireAtRest(t, b.faulty)
	}
	t.Fatal("no end of operations")
}
