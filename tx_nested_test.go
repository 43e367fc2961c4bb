package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// However a nested function leaves, what it did is gone, and the outer
// transaction goes on as if it had not been tried.
func TestNestedTxHoweverItEnds(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for name, leave := range map[string]func(cancel context.CancelFunc) error{
		"error":     func(context.CancelFunc) error { return errOfFn },
		"panic":     func(context.CancelFunc) error { panic("leave") },
		"Goexit":    func(context.CancelFunc) error { runtime.Goexit(); return nil },
		"cancelled": func(cancel context.CancelFunc) error { cancel(); return nil },
	} {
		require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: name + " before"}).Exec(ctx); err != nil {
				return err
			}
			third := func(ctx context.Context, tx *echobun.Session) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					if err := insertAll(ctx, tx, name+" third"); err != nil {
						t.Error(err)
					}
					return leave(cancel)
				})
			}
			var gone sync.WaitGroup
			gone.Go(func() { // Goexit ends a goroutine.
				defer func() { _ = recover() }()
				err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					if err := insertAll(ctx, tx, name+" second"); err != nil {
						t.Error(err)
					}
					return third(ctx, tx)
				})
				if err == nil {
					t.Error(name, "is no error")
				}
			})
			gone.Wait()
			return insertAll(ctx, tx, name+" after")
		}), name)
		requireAtRest(t, x)
		requireNamed(t, x, name+" before", 1, 0, 0)
		requireNamed(t, x, name+" second", 0, 0, 0)
		requireNamed(t, x, name+" third", 0, 0, 0)
		requireNamed(t, x, name+" after", 1, 1, 1)
	}
}

// A nested transaction whose context ends while the server works is rolled
// back, and the outer one goes on.
func TestNestedTxIsCancelledInAStatement(t *testing.T) {
	t.Parallel()
	slow := map[string]string{
		"pg":     "SELECT pg_sleep(20)",
		"mysql":  "SELECT SLEEP(20)",
		"sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n",
	}
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		start := time.Now()
		err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: "before"}).Exec(ctx); err != nil {
				return err
			}
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			err := tx.RunInTx(short, nil, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Debit{Name: "inside"}).Exec(ctx); err != nil {
					return err
				}
				var none any
				return tx.NewRaw(slow[x.Engine().Dialect().Name().String()]).Scan(ctx, &none)
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			_, err = tx.NewInsert().Model(&Debit{Name: "after"}).Exec(ctx)
			return err
		})
		require.NoError(t, err)
		require.Less(t, time.Since(start), 10*time.Second)
		requireAtRest(t, x)
		for name, want := range map[string]int{"before": 1, "inside": 0, "after": 1} {
			n, err := s.NewSelect().Model((*Debit)(nil)).Where("name = ?", name).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, want, n, name)
		}
	})
}

// Two hundred nested transactions leave no more savepoints open than one.
func TestNestedTxDoesNotGrow(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		open := func() (n int) { // Each savepoint that is open has a context of this name.
			const query = "SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CurTransactionContext'"
			require.NoError(t, tx.NewRaw(query).Scan(ctx, &n))
			return n
		}
		before := open()
		for i := range 200 {
			err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Debit{Name: fmt.Sprint("n", i)}).Exec(ctx); err != nil {
					return err
				}
				if i%2 == 0 {
					return errOfFn
				}
				return nil
			})
			if i%2 == 0 {
				require.Same(t, errOfFn, err)
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, before, open())
		return nil
	}))
	requireAtRest(t, x)
	requireNamed(t, x, "n0", 0, 0, 0)
	requireNamed(t, x, "n1", 1, 0, 0)
}

// What Bun's transactions did inside, committed or healed, goes with the outer one.
func TestNestedBunTx(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	inside := func(ctx context.Context, tx *echobun.Session, name string) {
		require.NoError(t, insertAll(ctx, tx, name))
		for _, key := range []string{"", "auth", "meta"} {
			table := map[string]string{"": "debits", "auth": "credits", "meta": "notes"}[key]
			insert := "INSERT INTO " + table + " (name) VALUES (?)"
			err := tx.Bind(key).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
				_, err := btx.NewRaw(insert, name+" rolled back").Exec(ctx)
				require.NoError(t, err)
				_, err = btx.NewRaw(insert, name).Exec(ctx)
				return err
			})
			require.ErrorIs(t, err, echobun.ErrUnique, key)

			btx, err := tx.Bind(key).BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = btx.NewRaw(insert, name+" rolled back").Exec(ctx)
			require.NoError(t, err)
			require.NoError(t, btx.Rollback())
			require.NoError(t, tx.Bind(key).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
				_, err := btx.NewRaw(insert, name+" committed").Exec(ctx)
				return err
			}))
		}
	}
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		inside(ctx, tx, "kept")
		return nil
	}))
	require.Same(t, errOfFn, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		inside(ctx, tx, "gone")
		return errOfFn
	}))
	requireAtRest(t, x)
	for name, n := range map[string]int{"kept": 1, "kept committed": 1, "kept rolled back": 0, "gone": 0, "gone committed": 0, "gone rolled back": 0} {
		requireNamed(t, x, name, n, n, n)
	}
}

// A failure that one of Bun's nested transactions has hidden is gone with the
// session's nested one around it, on every database and however that ends; and
// without one, it dooms the whole.
func TestNestedTxHealsWhatBunsHid(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	tables := map[string]string{"": "debits", "auth": "credits", "meta": "notes"}
	hide := func(ctx context.Context, tx *echobun.Session, key string) error {
		return tx.Bind(key).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
			_, err := btx.ExecContext(ctx, "INSERT INTO "+tables[key]+" (name) VALUES ('taken')")
			require.ErrorIs(t, err, echobun.ErrUnique, key)
			return nil // It was swallowed.
		})
	}
	require.NoError(t, insertAll(ctx, s, "taken"))
	for key, table := range tables {
		for _, result := range []error{nil, errOfFn} {
			require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				require.Error(t, tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
					require.NoError(t, ran(inner.Bind(key).ExecContext(ctx, "INSERT INTO "+table+" (name) VALUES ('inner')")))
					_ = hide(ctx, inner, key)
					return result
				}))
				return ran(tx.Bind(key).ExecContext(ctx, "INSERT INTO "+table+" (name) VALUES (?)", fmt.Sprint("outer ", result)))
			}), "bind %q", key)
		}
		require.ErrorIs(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, ran(tx.Bind(key).ExecContext(ctx, "INSERT INTO "+table+" (name) VALUES ('doomed')")))
			_ = hide(ctx, tx, key)
			return nil
		}), echobun.ErrTxDoomed, "bind %q", key)
	}
	requireAtRest(t, x)
	requireNamed(t, x, "inner", 0, 0, 0)
	requireNamed(t, x, "outer <nil>", 1, 1, 1)
	requireNamed(t, x, "outer "+errOfFn.Error(), 1, 1, 1)
	requireNamed(t, x, "doomed", 0, 0, 0)
}

// The end of the outer context rolls back what is nested too, and says so.
func TestNestedTxEndsWithTheOuterContext(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	outer, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.RunInTx(outer, nil, func(ctx context.Context, tx *echobun.Session) error {
		return tx.RunInTx(context.WithoutCancel(ctx), nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insertAll(ctx, tx, "nested"))
			cancel()
			require.Eventually(t, func() bool {
				err := insertAll(ctx, tx, fmt.Sprint("late", time.Now().UnixNano()))
				return errors.Is(err, echobun.ErrTxDoomed) && errors.Is(err, context.Canceled)
			}, 5*time.Second, time.Millisecond)
			return nil
		})
	})
	require.ErrorIs(t, err, context.Canceled)
	requireAtRest(t, x)
	requireNamed(t, x, "nested", 0, 0, 0)
}

func TestNestedTxHasItsOwnContext(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		inner, cancel := context.WithTimeout(context.WithValue(ctx, valueKey{}, "mine"), time.Minute)
		defer cancel()
		require.NoError(t, tx.RunInTx(inner, nil, func(ctx context.Context, nested *echobun.Session) error {
			require.Equal(t, "mine", ctx.Value(valueKey{}))
			_, ok := ctx.Deadline()
			require.True(t, ok)
			inCtx, err := x.Session(ctx)
			require.NoError(t, err)
			require.Same(t, nested, inCtx)
			require.ErrorIs(t, tx.RunInTx(ctx, nil, nil), echobun.ErrOutsideTx, "a second one beside it")
			return nil
		}))
		canceled, cancel := context.WithCancel(ctx)
		err := tx.RunInTx(canceled, nil, func(ctx context.Context, nested *echobun.Session) error {
			require.NoError(t, insertAll(ctx, nested, "cancelled"))
			cancel()
			_, err := nested.NewInsert().Model(&Debit{Name: "late"}).Exec(ctx)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		return insertAll(ctx, tx, "outer")
	}))
	requireNamed(t, x, "cancelled", 0, 0, 0)
	requireNamed(t, x, "outer", 1, 1, 1)
}

func TestNestedTxIsDoomedAlone(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insertAll(ctx, tx, "a"))
		for i := range 100 { // Savepoints do not pile up.
			err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Debit{Name: fmt.Sprint("b", i)}).Exec(ctx); err != nil {
					return err
				}
				_, _ = tx.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx)
				return nil // It was swallowed.
			})
			require.ErrorIs(t, err, echobun.ErrTxDoomed)
			require.ErrorIs(t, err, echobun.ErrUnique)
		}
		require.NoError(t, tx.RunInTx(ctx, nil, func(ctx context.Context, second *echobun.Session) error {
			err := second.RunInTx(ctx, nil, func(ctx context.Context, third *echobun.Session) error {
				require.NoError(t, insertAll(ctx, third, "c"))
				return errOfFn
			})
			require.Same(t, errOfFn, err)
			return insertAll(ctx, second, "d")
		}))
		return nil
	}))
	requireNamed(t, x, "a", 1, 1, 1)
	requireNamed(t, x, "c", 0, 0, 0)
	requireNamed(t, x, "d", 1, 1, 1)
	requireNamed(t, x, "b0", 0, 0, 0)
}

func TestNestedTxLeftOpen(t *testing.T) {
	t.Parallel()
	x, ctx, s := sqliteBank(t)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	inner, err := tx.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, inner, "open"))
	err = tx.Commit(ctx)
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
	require.ErrorContains(t, err, "still open")
	require.ErrorIs(t, inner.Commit(ctx), sql.ErrTxDone)
	require.NoError(t, inner.Rollback(ctx))
	requireAtRest(t, x)
	requireNamed(t, x, "open", 0, 0, 0)
}

// TestNestedTxBeginsAgain has the first attempt to begin on a bind end with its
// context, while the connection is still being made with that.
func TestNestedTxBeginsAgain(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL()})
	ctx, s := newSession(t, x)
	require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err := tx.RunInTx(ctx, nil, func(_ context.Context, inner *echobun.Session) error {
			_, err := inner.NewRaw("SELECT 1").Exec(short)
			return err
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = tx.NewRaw("SELECT 1").Exec(ctx)
		return err
	}))
	requireAtRest(t, x)
}
