package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// Debit is on the default bind, Credit on "auth", Note on "meta".
type Debit struct {
	bun.BaseModel `bun:"table:debits"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

type Credit struct {
	bun.BaseModel `bun:"table:credits"`
	authModel

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

type Note struct {
	bun.BaseModel `bun:"table:notes"`
	metaModel

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

// txModels are the models of the transaction tests, one on each bind.
func txModels() []any { return []any{(*Debit)(nil), (*Credit)(nil), (*Note)(nil)} }

// newBank returns an extension with the tables of txModels on three databases.
func newBank(tb testing.TB) (*echobun.Extension, context.Context, *echobun.Session) {
	tb.Helper()
	x := newExtension(tb, threeDatabases(tb), txModels()...)
	ctx, s := newSession(tb, x)
	require.NoError(tb, x.CreateAll(ctx))
	return x, ctx, s
}

// insertAll writes a row of that name on each bind.
func insertAll(ctx context.Context, s *echobun.Session, name string) error {
	if _, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx); err != nil {
		return err
	}
	if _, err := s.NewInsert().Model(&Credit{Name: name}).Exec(ctx); err != nil {
		return err
	}
	_, err := s.NewInsert().Model(&Note{Name: name}).Exec(ctx)
	return err
}

// requireNamed asserts how many rows of that name the binds have.
func requireNamed(tb testing.TB, x *echobun.Extension, name string, debits, credits, notes int) {
	tb.Helper()
	ctx, end := x.AppContext(context.Background())
	defer end()
	s, err := x.Session(ctx)
	require.NoError(tb, err)
	for _, want := range []struct {
		model any
		n     int
	}{{(*Debit)(nil), debits}, {(*Credit)(nil), credits}, {(*Note)(nil), notes}} {
		n, err := s.NewSelect().Model(want.model).Where("name = ?", name).Count(ctx)
		require.NoError(tb, err)
		require.EqualValues(tb, want.n, n, "%T %q", want.model, name)
	}
}

// requireAtRest requires that no bind has a connection in use, or counts one
// as if it had. One that database/sql still opens for somebody who has given
// up counts for a moment.
func requireAtRest(tb testing.TB, x *echobun.Extension) {
	tb.Helper()
	for key, db := range x.Engines() {
		require.Eventually(tb, func() bool {
			return db.Stats().InUse == 0 && x.PoolCounters(key) == [3]int64{}
		}, 10*time.Second, time.Millisecond, "bind %q: %+v, %v", key, db.Stats(), x.PoolCounters(key))
	}
}

var errOfFn = errors.New("fn says no")

func TestRunInTx(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)

	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.True(t, tx.InTx())
		inCtx, err := x.Session(ctx)
		require.NoError(t, err)
		require.Same(t, tx, inCtx)
		require.NoError(t, insertAll(ctx, tx, "kept"))

		_, err = s.NewInsert().Model(&Debit{Name: "outside"}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrOutsideTx)
		require.ErrorContains(t, err, "default bind")
		return nil
	}))
	requireAtRest(t, x)
	requireNamed(t, x, "kept", 1, 1, 1)
	requireNamed(t, x, "outside", 0, 0, 0)
	require.False(t, s.InTx())

	err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "gone"))
		return errOfFn
	})
	require.Same(t, errOfFn, err)
	requireAtRest(t, x)
	requireNamed(t, x, "gone", 0, 0, 0)

	err = s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "doomed"))
		_, err := tx.NewInsert().Model(&Credit{Name: "doomed"}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		err = insertAll(ctx, tx, "later")
		require.ErrorIs(t, err, echobun.ErrTxDoomed)
		require.ErrorIs(t, err, echobun.ErrUnique)
		return nil
	})
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
	requireAtRest(t, x)
	requireNamed(t, x, "doomed", 0, 0, 0)
}

func TestNestedTx(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)

	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewInsert().Model(&Debit{Name: "outer"}).Exec(ctx)
		require.NoError(t, err)

		err = tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
			require.NoError(t, insertAll(ctx, inner, "inner gone"))
			_, err := inner.NewInsert().Model(&Credit{Name: "inner gone"}).Exec(ctx)
			require.ErrorIs(t, err, echobun.ErrUnique)
			_, err = tx.NewInsert().Model(&Debit{Name: "outer in inner"}).Exec(ctx)
			require.ErrorIs(t, err, echobun.ErrOutsideTx)
			return err
		})
		require.ErrorIs(t, err, echobun.ErrOutsideTx)

		require.NoError(t, tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
			return insertAll(ctx, inner, "inner kept")
		}))

		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		err = tx.RunInTx(short, nil, func(ctx context.Context, inner *echobun.Session) error {
			require.NoError(t, insertAll(ctx, inner, "inner late"))
			<-ctx.Done()
			return nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)

		err = tx.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
			_, err := btx.NewInsert().Model(&Credit{Name: "inner kept"}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, echobun.ErrUnique)
		return insertAll(ctx, tx, "last")
	}))
	requireAtRest(t, x)
	requireNamed(t, x, "outer", 1, 0, 0)
	requireNamed(t, x, "inner gone", 0, 0, 0)
	requireNamed(t, x, "inner late", 0, 0, 0)
	requireNamed(t, x, "inner kept", 1, 1, 1)
	requireNamed(t, x, "last", 1, 1, 1)
}

func TestBeginTx(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.ErrorIs(t, s.Commit(ctx), echobun.ErrNotBegun)
	require.ErrorIs(t, s.Rollback(ctx), echobun.ErrNotBegun)

	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	var after []string
	tx.AfterCommit(func(context.Context) { after = append(after, "outer") })
	inner, err := tx.Begin(ctx, nil)
	require.NoError(t, err)
	inner.AfterCommit(func(context.Context) { panic("no matter") })
	inner.AfterCommit(func(context.Context) { after = append(after, "inner") })
	require.NoError(t, insertAll(ctx, inner, "kept"))
	require.NoError(t, inner.Commit(ctx))
	require.Empty(t, after)
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, []string{"outer", "inner"}, after)
	require.NoError(t, tx.Rollback(ctx))
	require.ErrorIs(t, tx.Commit(ctx), sql.ErrTxDone)
	_, err = tx.NewInsert().Model(&Debit{Name: "late"}).Exec(ctx)
	require.ErrorIs(t, err, sql.ErrTxDone)
	requireNamed(t, x, "kept", 1, 1, 1)
	requireAtRest(t, x)

	canceled, cancel := context.WithCancel(ctx)
	tx, err = s.Begin(canceled, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "cancelled"))
	cancel()
	require.Eventually(t, func() bool {
		_, err := tx.NewInsert().Model(&Debit{Name: "late"}).Exec(ctx)
		return errors.Is(err, echobun.ErrTxDoomed) && errors.Is(err, context.Canceled)
	}, time.Second, time.Millisecond)
	require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
	require.NoError(t, tx.Rollback(ctx))
	requireAtRest(t, x)
	requireNamed(t, x, "cancelled", 0, 0, 0)
}
