package sqlite_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// TestMemoryUnderLoad queries and writes from 50 goroutines at once, also with
// rows open and in transactions.
func TestMemoryUnderLoad(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)")
	run(t, db, "INSERT INTO x (n) VALUES (0), (0), (0)")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var group sync.WaitGroup
	errs := make(chan error, 50*10)
	for range 50 {
		group.Go(func() {
			for range 10 {
				errs <- readAndWrite(ctx, db)
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 3+50*10*4, one[int](t, db, "SELECT count(*) FROM x"))
}

// readAndWrite writes three rows beside open rows, and one in a transaction.
func readAndWrite(ctx context.Context, db *bun.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT id FROM x ORDER BY id LIMIT 3")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if _, err := db.ExecContext(ctx, "INSERT INTO x (n) VALUES (1)"); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		open, err := tx.QueryContext(ctx, "SELECT id FROM x LIMIT 10")
		if err != nil {
			return err
		}
		defer func() { _ = open.Close() }()
		if _, err := tx.ExecContext(ctx, "INSERT INTO x (n) VALUES (2)"); err != nil {
			return err
		}
		return open.Err()
	})
}

// TestMemoryReadersGetTheirTurn lets 16 writers come one after the other. In
// memory, SQLite lets nobody read while somebody writes, and readers that ask
// for the lock from time to time would hardly ever find it free.
func TestMemoryReadersGetTheirTurn(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://?busy_timeout=1500")
	run(t, db, "CREATE TABLE x (id INTEGER)")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()

	var group sync.WaitGroup
	errs := make(chan error, 20)
	for i := range cap(errs) {
		group.Go(func() {
			for ctx.Err() == nil {
				var err error
				if i < 4 {
					err = db.QueryRowContext(t.Context(), "SELECT count(*) FROM x").Scan(new(int))
				} else {
					err = db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
						time.Sleep(10 * time.Millisecond)
						_, err := tx.ExecContext(ctx, "INSERT INTO x VALUES (1)")
						return err
					})
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	require.NoError(t, <-errs)
}

func TestMemoryIsOneForEachEngine(t *testing.T) {
	t.Parallel()
	for i, url := range []string{"sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true", "sqlite:///file:m?mode=memory&uri=true"} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			one, two := open(t, url), open(t, url)
			run(t, one, "CREATE TABLE x (id INTEGER)")
			run(t, two, "CREATE TABLE x (id INTEGER)")

			first, err := one.Conn(t.Context())
			require.NoError(t, err)
			second, err := one.Conn(t.Context())
			require.NoError(t, err)
			run(t, first, "INSERT INTO x VALUES (1)")
			require.Equal(t, 1, oneOf(t, second, "SELECT count(*) FROM x"))
			require.Equal(t, 0, oneOf(t, two, "SELECT count(*) FROM x"))
			require.NoError(t, first.Close())
			require.NoError(t, second.Close())
		})
	}
}

func oneOf(tb testing.TB, db bun.IDB, query string) int {
	tb.Helper()
	return one[int](tb, db, query)
}

func TestMemoryOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	db.SetMaxIdleConns(0)
	run(t, db, "CREATE TABLE x (id INTEGER)")
	run(t, db, "INSERT INTO x VALUES (1)")
	require.Zero(t, db.Stats().OpenConnections)
	require.Equal(t, 1, one[int](t, db, "SELECT count(*) FROM x"))
}

func TestNamedMemory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, url string }{
		{"by cache", "sqlite:///file:named-a?mode=memory&cache=shared&uri=true"},
		{"by vfs", "sqlite:///file:/named-a?vfs=memdb&uri=true"},
		{"without a name", "sqlite:///file::memory:?cache=shared&uri=true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := open(t, tt.url), open(t, tt.url)
			run(t, first, "CREATE TABLE x (id INTEGER)")
			run(t, second, "INSERT INTO x VALUES (1)")
			require.Equal(t, 1, one[int](t, first, "SELECT count(*) FROM x"))
		})
	}
	first := open(t, "sqlite:///file:named-b?mode=memory&cache=shared&uri=true")
	run(t, first, "CREATE TABLE x (id INTEGER)")
	require.NoError(t, first.Close())
	again := open(t, "sqlite:///file:named-b?mode=memory&cache=shared&uri=true")
	run(t, again, "CREATE TABLE x (id INTEGER)")
}

// TestMemoryGivesUpEndlessQueries would keep all others waiting otherwise.
func TestMemoryGivesUpEndlessQueries(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var list []int
	err := db.NewRaw("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT n FROM r WHERE n < 3").Scan(ctx, &list)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	run(t, db, "CREATE TABLE x (id INTEGER)")
}
