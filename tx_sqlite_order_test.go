package echobun_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// filesBank has the tables of txModels on three SQLite files.
func filesBank(tb testing.TB, parameters string) (*echobun.Extension, context.Context, *echobun.Session) {
	tb.Helper()
	x := newExtension(tb, echobun.Config{
		DatabaseURI: sqliteURL(tb) + parameters,
		Binds:       echobun.Binds{"auth": {URL: sqliteURL(tb) + parameters}, "meta": {URL: sqliteURL(tb) + parameters}},
	}, txModels()...)
	ctx, s := newSession(tb, x)
	require.NoError(tb, x.CreateAll(ctx))
	return x, ctx, s
}

// A step is one statement of a transaction.
type step func(ctx context.Context, tx *echobun.Session) error

func writes(table, name string) step {
	return func(ctx context.Context, tx *echobun.Session) error {
		return ran(tx.Bind(bindOf[table]).ExecContext(ctx, "INSERT INTO "+table+" (name) VALUES (?)", name))
	}
}

// bindOf are the binds of the tables of txModels.
var bindOf = map[string]string{"debits": "", "credits": "auth", "notes": "meta"}

func reads(table string) step {
	return func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.Bind(bindOf[table]).NewSelect().Table(table).Count(ctx)
		return err
	}
}

// nested has a step run in a nested transaction, and withBun in one of Bun's.
func nested(do step) step {
	return func(ctx context.Context, tx *echobun.Session) error { return tx.RunInTx(ctx, nil, do) }
}

func withBun(table, name string) step {
	return func(ctx context.Context, tx *echobun.Session) error {
		return tx.Bind(bindOf[table]).RunInTx(ctx, nil, func(ctx context.Context, btx bun.Tx) error {
			return ran(btx.ExecContext(ctx, "INSERT INTO "+table+" (name) VALUES (?)", name))
		})
	}
}

// meet runs transactions of two steps each, which wait for each other between the
// two in their first attempt. It returns their errors and how many attempts there were.
func meet(x *echobun.Extension, opts *echobun.TxOptions, all [][2]step) (errs []error, attempts int64) {
	errs = make([]error, len(all))
	var met, done sync.WaitGroup
	var count atomic.Int64
	met.Add(len(all))
	for i, steps := range all {
		done.Go(func() {
			var once sync.Once
			defer once.Do(met.Done)
			ctx, end := x.AppContext(context.Background())
			defer end()
			s, err := x.Session(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			errs[i] = s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				count.Add(1)
				if err := steps[0](ctx, tx); err != nil {
					return err
				}
				once.Do(met.Done)
				met.Wait()
				return steps[1](ctx, tx)
			})
		})
	}
	done.Wait()
	return errs, count.Load()
}

// Transactions that use the same files in opposite order do not wait for each
// other until busy_timeout: the later one is a serialization failure, which
// Retries cure.
func TestTxOfFilesInOppositeOrder(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]func() [][2]step{
		"reads": func() [][2]step {
			return [][2]step{{reads("credits"), writes("debits", "1")}, {writes("debits", "2"), reads("credits")}}
		},
		"writes": func() [][2]step {
			return [][2]step{{writes("credits", "1"), writes("debits", "1")}, {writes("debits", "2"), writes("credits", "2")}}
		},
		"nested": func() [][2]step {
			return [][2]step{{nested(writes("credits", "1")), nested(writes("debits", "1"))}, {writes("debits", "2"), nested(writes("credits", "2"))}}
		},
		"Bun's": func() [][2]step {
			return [][2]step{
				{withBun("credits", "1"), withBun("debits", "1")},
				{writes("debits", "2"), withBun("credits", "2")},
			}
		},
		"three": func() [][2]step {
			return [][2]step{
				{writes("debits", "1"), writes("credits", "1")},
				{writes("credits", "2"), writes("notes", "2")},
				{writes("notes", "3"), writes("debits", "3")},
			}
		},
	} {
		for _, retries := range []int{0, 5} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				x, _, _ := filesBank(t, "")
				start := time.Now()
				errs, attempts := meet(x, &echobun.TxOptions{Retries: retries}, all())
				require.Less(t, time.Since(start), 3*time.Second, "it waited for busy_timeout")
				failed := 0
				for _, err := range errs {
					if err != nil {
						require.ErrorIs(t, err, echobun.ErrSerialization)
						require.ErrorContains(t, err, "in the same order")
						failed++
					}
				}
				if retries == 0 {
					require.Equal(t, 1, failed, "%v", errs)
				} else {
					require.Zero(t, failed, "%v", errs)
					require.Greater(t, attempts, int64(len(errs)))
				}
				requireAtRest(t, x)
			})
		}
	}
}

// Bun's own transactions on two files, one within the other, are told the same.
func TestBunTxsOfFilesInOppositeOrder(t *testing.T) {
	t.Parallel()
	x, ctx, s := filesBank(t, "")
	var met, done sync.WaitGroup
	met.Add(2)
	errs := make([]error, 2)
	start := time.Now()
	for i, keys := range [][2]string{{"", "auth"}, {"auth", ""}} {
		done.Go(func() {
			errs[i] = s.Bind(keys[0]).RunInTx(ctx, nil, func(ctx context.Context, _ bun.Tx) error {
				met.Done()
				met.Wait()
				return s.Bind(keys[1]).RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return nil })
			})
		})
	}
	done.Wait()
	require.Less(t, time.Since(start), 3*time.Second)
	if errs[0] == nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	require.ErrorIs(t, errs[0], echobun.ErrSerialization)
	require.NoError(t, errs[1])
	requireAtRest(t, x)
}

// Who waits for a transaction that waits for nobody is no deadlock, nor is one
// that waits in the same order.
func TestTxOfFilesInTheSameOrderWaits(t *testing.T) {
	t.Parallel()
	x, ctx, _ := filesBank(t, "")
	var all sync.WaitGroup
	errs := make([]error, 24)
	for i := range errs {
		all.Go(func() {
			ctx, end := x.AppContext(context.WithoutCancel(ctx))
			defer end()
			s, err := x.Session(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			errs[i] = s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				if i%3 > 0 { // Some leave the first out.
					if err := reads("debits")(ctx, tx); err != nil {
						return err
					}
				}
				if err := reads("credits")(ctx, tx); err != nil {
					return err
				}
				return reads("notes")(ctx, tx)
			})
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	requireAtRest(t, x)
}

// With transaction=deferred, who only reads a file waits for nobody there. Who
// reads, and writes when somebody else has written, is a serialization failure.
func TestTxDeferred(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			x, _, _ := filesBank(t, "?transaction=deferred&journal_mode="+mode)
			start := time.Now()
			errs, attempts := meet(x, nil, [][2]step{
				{reads("credits"), writes("debits", "1")}, {writes("debits", "2"), reads("credits")},
			})
			require.Equal(t, []error{nil, nil}, errs)
			require.EqualValues(t, 2, attempts)

			both := [][2]step{{reads("debits"), writes("debits", "3")}, {reads("debits"), writes("debits", "4")}}
			errs, attempts = meet(x, &echobun.TxOptions{Retries: 5}, both)
			require.Equal(t, []error{nil, nil}, errs)
			require.Greater(t, attempts, int64(2))
			require.Less(t, time.Since(start), 3*time.Second)
			for _, name := range []string{"1", "2", "3", "4"} {
				requireNamed(t, x, name, 1, 0, 0)
			}
			requireAtRest(t, x)
		})
	}
}
