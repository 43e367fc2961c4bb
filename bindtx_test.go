package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

var errPlanned = errors.New("planned")

// txSetUp returns an IDB on an empty table of books, and what counts them.
func txSetUp(t *testing.T, x *echobun.Extension) (context.Context, bun.IDB, func() int) {
	t.Helper()
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	return ctx, db.For((*book)(nil)), func() int {
		n, err := db.NewSelect().Model((*book)(nil)).Count(ctx)
		require.NoError(t, err)
		return int(n)
	}
}

func addBook(ctx context.Context, db bun.IDB, title string) error {
	_, err := db.NewInsert().Model(&book{Title: title}).Exec(ctx)
	return err
}

// requireReturned asserts that all connections go back to the pool.
func requireReturned(t *testing.T, x *echobun.Extension) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, engine := range x.Engines() {
			if engine.Stats().InUse != 0 {
				return false
			}
		}
		return true
	}, 5*time.Second, 5*time.Millisecond, "a connection stays in use")
}

func TestBindRunInTx(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		type keyType struct{}
		ctx = context.WithValue(ctx, keyType{}, "value")

		require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			require.Equal(t, "value", ctx.Value(keyType{}), "the function gets the caller's values")
			require.NoError(t, addBook(ctx, tx, "one"))
			return addBook(ctx, tx, "two")
		}))
		require.Equal(t, 2, count())

		err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			require.NoError(t, addBook(ctx, tx, "three"))
			return errPlanned
		})
		require.Equal(t, errPlanned, err, "the function's error comes back untouched")
		require.Equal(t, 2, count())
		requireReturned(t, x)
	})
}

func TestBindRunInTxPanic(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		require.PanicsWithValue(t, "stop", func() {
			_ = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				require.NoError(t, addBook(ctx, tx, "one"))
				panic("stop")
			})
		})
		requireReturned(t, x)
		require.Zero(t, count())

		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				_ = addBook(ctx, tx, "one")
				runtime.Goexit()
				return nil
			})
		}()
		<-done
		requireReturned(t, x)
		require.Zero(t, count())
	})
}

// TestBindTxCancelledBeforeBegin begins on a context that is over.
func TestBindTxCancelledBeforeBegin(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, _ := txSetUp(t, x)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := db.BeginTx(ctx, nil)
		var bindErr *echobun.BindError
		require.ErrorAs(t, err, &bindErr)
		require.Equal(t, "BEGIN", bindErr.Op)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, db.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { panic("never") }), context.Canceled)
		requireReturned(t, x)
	})
}

// TestBindTxCancelledDuringBegin lets a BEGIN wait for a connection that
// does not come before its context ends.
func TestBindTxCancelledDuringBegin(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}}, bookModels...)
	ctx, db, _ := txSetUp(t, x)
	holder, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)

	waiting, cancel := context.WithCancel(ctx)
	time.AfterFunc(30*time.Millisecond, cancel)
	_, err = db.BeginTx(waiting, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, echobun.ErrPoolTimeout)

	waiting, cancel = context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	_, err = db.BeginTx(waiting, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, echobun.ErrPoolTimeout, "the wait was for a connection")

	require.NoError(t, holder.Rollback())
	requireReturned(t, x)
	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return addBook(ctx, tx, "after") }))
}

// TestBindTxPoolTimeout is a BEGIN that waits longer than PoolTimeout.
func TestBindTxPoolTimeout(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1, PoolTimeout: 30 * time.Millisecond},
	}, bookModels...)
	ctx, db, _ := txSetUp(t, x)
	holder, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = db.BeginTx(ctx, nil)
	require.ErrorIs(t, err, echobun.ErrPoolTimeout)
	require.ErrorContains(t, err, "default bind: BEGIN")
	require.NoError(t, holder.Commit())
	requireReturned(t, x)
}

// TestBindTxCancelledDuringStatements asserts that a context that ends fails
// the statements that use it, and that nothing is kept.
func TestBindTxCancelledDuringStatements(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		cancelled, cancel := context.WithCancel(ctx)
		err := db.RunInTx(cancelled, nil, func(ctx context.Context, tx bun.Tx) error {
			require.NoError(t, addBook(ctx, tx, "one"))
			cancel()
			return addBook(ctx, tx, "two")
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, count())
		requireReturned(t, x)

		slow := map[dialect.Name]string{
			dialect.PG: "SELECT pg_sleep(10)", dialect.MySQL: "SELECT SLEEP(10)",
			dialect.SQLite: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
		}
		timed, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		defer stop()
		start := time.Now()
		err = db.RunInTx(timed, nil, func(ctx context.Context, tx bun.Tx) error {
			require.NoError(t, addBook(ctx, tx, "one"))
			_, err := tx.ExecContext(ctx, slow[x.Engine().Dialect().Name()])
			return err
		})
		require.Error(t, err)
		require.Less(t, time.Since(start), 5*time.Second, "the statement in flight is cut")
		require.Zero(t, count())
		requireReturned(t, x)
	})
}

// TestBindTxCancelledBeforeCommit asserts that a request that ends while its
// transaction is about to commit does not undo it.
func TestBindTxCancelledBeforeCommit(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		cancelled, cancel := context.WithCancel(ctx)
		require.NoError(t, db.RunInTx(cancelled, nil, func(ctx context.Context, tx bun.Tx) error {
			defer cancel()
			return addBook(ctx, tx, "one")
		}))
		require.Equal(t, 1, count())

		cancelled, cancel = context.WithCancel(ctx)
		tx, err := db.BeginTx(cancelled, nil)
		require.NoError(t, err)
		require.NoError(t, addBook(cancelled, tx, "two"))
		cancel()
		time.Sleep(10 * time.Millisecond) // A roll-back by the context would come now.
		require.NoError(t, addBook(ctx, tx, "three"))
		require.NoError(t, tx.Commit())
		require.Equal(t, 3, count())
		requireReturned(t, x)
	})
}

// TestBindTxEndsWithAppContext leaves transactions open when the app context ends.
func TestBindTxEndsWithAppContext(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		outer, _, count := txSetUp(t, x)
		ctx, end := x.AppContext(outer)
		s, err := x.Session(ctx)
		require.NoError(t, err)
		tx, err := s.Bind("").BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, addBook(ctx, tx, "one"))
		end()
		requireReturned(t, x)
		require.Error(t, tx.Commit())
		require.Error(t, addBook(outer, tx, "two"))
		require.Zero(t, count())

		ctx, end = x.AppContext(outer)
		s, err = x.Session(ctx)
		require.NoError(t, err)
		err = s.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			require.NoError(t, addBook(ctx, tx, "three"))
			end()
			return nil
		})
		require.ErrorIs(t, err, echobun.ErrAppContextEnded, "what was rolled back is no success")
		requireReturned(t, x)
		require.Zero(t, count())
	})
}

func TestBindTxOptions(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		err := db.RunInTx(ctx, &sql.TxOptions{ReadOnly: true}, func(ctx context.Context, tx bun.Tx) error {
			return addBook(ctx, tx, "one")
		})
		require.ErrorIs(t, err, echobun.ErrReadOnly)
		require.NoError(t, db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx bun.Tx) error {
			return addBook(ctx, tx, "two")
		}))
		require.Equal(t, 1, count())

		err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return addBook(ctx, tx, "two") })
		require.ErrorIs(t, err, echobun.ErrUnique, "errors inside are those of the bind too")
		var bindErr *echobun.BindError
		require.ErrorAs(t, err, &bindErr)
		require.Equal(t, "INSERT", bindErr.Op)
		requireReturned(t, x)
	})
}

// TestBindTxNested nests Bun's transactions, which are savepoints.
func TestBindTxNested(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db, count := txSetUp(t, x)
		require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			require.NoError(t, addBook(ctx, tx, "one"))
			err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				require.NoError(t, addBook(ctx, tx, "two"))
				return errPlanned
			})
			require.ErrorIs(t, err, errPlanned)
			return addBook(ctx, tx, "three")
		}))
		require.Equal(t, 2, count())
	})
}

// TestBindTxContextsAreForgotten runs transactions on one long-lived context,
// which must not remember them.
func TestBindTxContextsAreForgotten(t *testing.T) { //nolint:paralleltest // It measures the heap.
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, bookModels...)
	ctx, db, _ := txSetUp(t, x)
	heap := func() uint64 {
		for range 3 {
			runtime.GC()
			time.Sleep(10 * time.Millisecond) // Clean-ups run by themselves.
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	run := func(n int) {
		for range n {
			require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return tx.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
			}))
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
		}
	}
	run(100)
	before := heap()
	run(2000)
	after := heap()
	require.Less(t, int64(after)-int64(before), int64(2000), "objects that 2000 transactions left behind")
}
