package echobuntest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/echobuntest"
	"github.com/echobun/echobun/internal/dbtest"
)

// kinds are the databases, one at a time.
var kinds = []struct {
	name string
	url  func(tb testing.TB) string
}{
	{"PostgreSQL", func(tb testing.TB) string { tb.Helper(); return dbtest.Postgres(tb).URL() }},
	{"MariaDB", func(tb testing.TB) string { tb.Helper(); return dbtest.MariaDB(tb).URL() }},
	{"SQLite file", func(tb testing.TB) string {
		tb.Helper()
		return "sqlite:///" + filepath.Join(tb.TempDir(), "items.db")
	}},
	{"SQLite memory", func(testing.TB) string { return "sqlite://" }},
}

// A subject is an extension on one kind of database, isolated by a test of its own.
type subject struct {
	*echobun.Extension

	kind string
	tb   *fakeTB
}

// onKinds runs a test on each kind of database, isolated, and requires that
// the isolation ends without an error and leaves nothing.
func onKinds(t *testing.T, run func(t *testing.T, x subject)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			x := isolated(t, kind.name, kind.url(t))
			run(t, x)
			require.Empty(t, x.tb.end())
			requireItems(t, x.Extension, 0)
			require.Zero(t, x.Engine().Stats().InUse)
		})
	}
}

func isolated(t *testing.T, kind, url string) subject {
	t.Helper()
	x := subject{Extension: open(t, url, "sqlite://"), kind: kind, tb: &fakeTB{TB: t}}
	echobuntest.Isolate(x.tb, x.Extension)
	return x
}

// requireItems asserts how many items there are, by the engine.
func requireItems(t *testing.T, x *echobun.Extension, want int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := x.Engine().NewSelect().Model((*Item)(nil)).Count(ctx)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func addItem(ctx context.Context, db bun.IDB, name string) error {
	_, err := db.NewInsert().Model(&Item{Name: name}).Exec(ctx)
	return err
}

var errNo = errors.New("no")

// What Bind and Engine begin are Bun's transactions: they and those nested in
// them are savepoints too.
func TestIsolateBunTransactions(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		inApp(t, x.Extension, func(ctx context.Context, s *echobun.Session) {
			for name, db := range map[string]bun.IDB{"bind": s.Bind(echobun.DefaultBind), "engine": x.Engine()} {
				require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					require.NoError(t, addItem(ctx, tx, name+" outer"))
					require.ErrorIs(t, tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
						require.NoError(t, addItem(ctx, tx, name+" never"))
						return errNo
					}), errNo)
					return tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
						return addItem(ctx, tx, name+" inner")
					})
				}))
				require.ErrorIs(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					require.NoError(t, addItem(ctx, tx, name+" never"))
					return errNo
				}), errNo)
			}
		})
		requireItems(t, x.Extension, 4)
	})
}

// A transaction that Begin has begun, left to the end of its app context.
func TestIsolateBegin(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		inApp(t, x.Extension, func(ctx context.Context, s *echobun.Session) {
			tx, err := s.Begin(ctx, &echobun.TxOptions{Isolation: sql.LevelSerializable})
			require.NoError(t, err)
			_, err = tx.NewInsert().Model(&Item{Name: "kept"}).Exec(ctx)
			require.NoError(t, err)
			require.NoError(t, tx.Commit(ctx))
			tx, err = s.Begin(ctx, nil)
			require.NoError(t, err)
			_, err = tx.NewInsert().Model(&Item{Name: "left open"}).Exec(ctx)
			require.NoError(t, err)
		})
		requireItems(t, x.Extension, 1)
	})
}

// A failed statement leaves its transaction as the database would, and harms
// nothing outside of it.
func TestIsolateFailureInTransaction(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		require.NoError(t, addItem(t.Context(), x.Engine(), "before"))
		tx, err := x.Engine().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, addItem(t.Context(), tx, "inside"))
		require.ErrorIs(t, addItem(t.Context(), tx, "before"), echobun.ErrUnique)
		err = addItem(t.Context(), tx, "afterwards")
		want := int64(3)
		if x.kind == "PostgreSQL" {
			require.ErrorContains(t, err, "aborted")
			require.Error(t, tx.Commit())
			want = 1
		} else {
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
		}
		requireItems(t, x.Extension, want)
	})
}

// With one connection in the pool, and with many, everything takes its turn.
func TestIsolateTakesTurns(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 0} {
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s/%d", kind.name, size), func(t *testing.T) {
				t.Parallel()
				x, err := echobun.New(echobun.Config{EngineOptions: echobun.EngineOptions{URL: kind.url(t), MaxOpenConns: size}})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, x.Close()) })
				require.NoError(t, x.Register((*Item)(nil)))
				inApp(t, x, func(ctx context.Context, _ *echobun.Session) { require.NoError(t, x.CreateAll(ctx)) })
				tb := &fakeTB{TB: t}
				echobuntest.Isolate(tb, x)
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() { inApp(t, x, func(ctx context.Context, s *echobun.Session) { useItems(ctx, t, s, i) }) })
				}
				all.Wait()
				requireItems(t, x, 30)
				require.Empty(t, tb.end())
				requireItems(t, x, 0)
			})
		}
	}
}

// useItems adds an item, and every other time one more in a transaction.
func useItems(ctx context.Context, t *testing.T, s *echobun.Session, i int) {
	t.Helper()
	if err := addItem(ctx, s.Bind(echobun.DefaultBind), fmt.Sprint("alone ", i)); err != nil {
		t.Error(err)
	}
	err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		if _, err := tx.NewInsert().Model(&Item{Name: fmt.Sprint("together ", i)}).Exec(ctx); err != nil {
			return err
		}
		if i%2 == 0 {
			return nil
		}
		return errNo
	})
	if (err == nil) != (i%2 == 0) {
		t.Errorf("%d: %v", i, err)
	}
}

// A statement outside of a transaction waits for it, as long as its context
// allows, and nothing is the worse for it.
func TestIsolateWaitsForTheTurn(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		tx, err := x.Engine().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, addItem(t.Context(), tx, "inside"))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		err = addItem(ctx, x.Engine(), "outside")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "isolated connection")
		require.NoError(t, tx.Commit())
		requireItems(t, x.Extension, 1)
	})
}

// Connections of before, of during and of after have nothing to do with each
// other, and none stays.
func TestIsolatePool(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			x := open(t, kind.url(t), "sqlite://")
			conns := make([]bun.Conn, 5)
			for i := range conns {
				var err error
				conns[i], err = x.Engine().Conn(t.Context())
				require.NoError(t, err)
			}
			for _, conn := range conns {
				require.NoError(t, conn.Close())
			}
			for range 3 {
				tb := &fakeTB{TB: t}
				echobuntest.Isolate(tb, x)
				require.NoError(t, x.Engine().PingContext(t.Context()))
				require.NoError(t, addItem(t.Context(), x.Engine(), "inside"))
				requireItems(t, x, 1)
				require.Empty(t, tb.end())
				requireItems(t, x, 0)
			}
			require.LessOrEqual(t, x.Engine().Stats().OpenConnections, len(conns)+1)
		})
	}
}

// The extension may be closed before the test ends.
func TestIsolateThenClose(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			url := kind.url(t)
			x := isolated(t, kind.name, url)
			require.NoError(t, addItem(t.Context(), x.Engine(), "inside"))
			require.NoError(t, x.Close())
			require.Empty(t, x.tb.end())
			requireItems(t, open(t, url, "sqlite://"), 0)
		})
	}
}

// A bind that is first used late, amid a transaction of another, is inside.
func TestIsolateLateBind(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		tb := &fakeTB{TB: t}
		echobuntest.Isolate(tb, x)
		require.NoError(t, addItem(t.Context(), x.Engine(), "first"))
		inApp(t, x, func(ctx context.Context, s *echobun.Session) {
			require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				if err := insert(ctx, tx, "both"); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&Order{Name: "late"}).Exec(ctx)
				return err
			}))
		})
		requireCount(t, x, 2)
		require.Empty(t, tb.end())
		requireCount(t, x, 0)
	})
}

// A server that is down is no reason to fail before it is needed.
func TestIsolateWithoutServer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgresql", "mysql"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			x, err := echobun.New(echobun.Config{DatabaseURI: scheme + "://nobody@127.0.0.1:1/none"})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, x.Close()) })
			tb := &fakeTB{TB: t}
			echobuntest.Isolate(tb, x)
			require.ErrorIs(t, addItem(t.Context(), x.Engine(), "nowhere"), echobun.ErrUnavailable)
			require.Empty(t, tb.end())
		})
	}
}
