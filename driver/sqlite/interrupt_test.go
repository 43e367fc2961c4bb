package sqlite_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// endless writes for a very long time.
const endless = `INSERT INTO x (n) WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n < 1000000000)
	SELECT n FROM r`

func interrupted(t *testing.T, db bun.IDB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, endless)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, driver.DoomsTx, lite().Classify(err))
}

// TestInterruptedWriteDoomsTheTransaction: SQLite rolls all of it back and goes
// on without a transaction, so later statements would commit by themselves.
func TestInterruptedWriteDoomsTheTransaction(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, tt := range []struct{ name, url string }{{"file", file}, {"memory", "sqlite://"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, tt.url)
			run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)")

			for _, commit := range []bool{true, false} {
				tx, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				run(t, tx, "INSERT INTO x (n) VALUES (-1)")
				interrupted(t, tx)

				_, err = tx.ExecContext(t.Context(), "INSERT INTO x (n) VALUES (-2)")
				require.ErrorContains(t, err, "rolled back")
				require.Equal(t, driver.DoomsTx, lite().Classify(err))
				require.Error(t, tx.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)))
				_, err = tx.ExecContext(t.Context(), "SAVEPOINT a")
				require.Error(t, err)
				if commit {
					err = tx.Commit()
					require.ErrorContains(t, err, "rolled back")
					require.Equal(t, driver.DoomsTx, lite().Classify(err))
				} else {
					require.NoError(t, tx.Rollback())
				}
				require.Zero(t, one[int](t, db, "SELECT count(*) FROM x"))
			}
			run(t, db, "INSERT INTO x (n) VALUES (3)")
		})
	}
}

func TestInterruptedWriteInRawTransaction(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	run(t, conn, "BEGIN")
	interrupted(t, conn)
	_, err = conn.ExecContext(t.Context(), "INSERT INTO x (n) VALUES (-2)")
	require.Equal(t, driver.DoomsTx, lite().Classify(err))
	_, err = conn.ExecContext(t.Context(), "COMMIT")
	require.Equal(t, driver.DoomsTx, lite().Classify(err))

	run(t, conn, "BEGIN")
	interrupted(t, conn)
	run(t, conn, "ROLLBACK")
	run(t, conn, "INSERT INTO x (n) VALUES (1)")
	require.Equal(t, 1, one[int](t, db, "SELECT count(*) FROM x"))
}

func TestRollbackByTheStatementDoomsTheTransaction(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY)")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	run(t, tx, "INSERT INTO x VALUES (1)")
	_, err = tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO x VALUES (1)")
	require.Equal(t, driver.DoomsTx|driver.Unique, lite().Classify(err))
	_, err = tx.ExecContext(t.Context(), "INSERT INTO x VALUES (2)")
	require.Error(t, err)
	require.NoError(t, tx.Rollback())
	require.Zero(t, one[int](t, db, "SELECT count(*) FROM x"))
}

func TestInterruptedReadLeavesTheTransaction(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY)")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	run(t, tx, "INSERT INTO x VALUES (1)")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err = tx.QueryRowContext(ctx, "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT count(*) FROM r").Scan(new(int))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, lite().Classify(err))
	run(t, tx, "INSERT INTO x VALUES (2)")
	require.NoError(t, tx.Commit())
	require.Equal(t, 2, one[int](t, db, "SELECT count(*) FROM x"))
}

// TestQueryIsInterruptedBetweenRows: modernc.org/sqlite looks at the context
// until the first row only.
func TestQueryIsInterruptedBetweenRows(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := db.QueryContext(ctx,
		"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n < 10000000) SELECT n FROM r WHERE n < 3")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	require.True(t, rows.Next())
	require.True(t, rows.Next())
	time.AfterFunc(20*time.Millisecond, cancel)
	require.False(t, rows.Next(), "it would search for a third one for seconds")
	require.ErrorIs(t, rows.Err(), context.Canceled)
}

// TestOutcomeOfCancelledWritesIsTrue: modernc.org/sqlite reports a statement
// as cancelled that was done when its context ended.
func TestOutcomeOfCancelledWritesIsTrue(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)")

	var mu sync.Mutex
	var group sync.WaitGroup
	done, cancelled := 0, 0
	for range 4 {
		group.Go(func() {
			for range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(400*time.Microsecond))
				_, err := db.ExecContext(ctx, "INSERT INTO x (n) VALUES (1), (2), (3)")
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					done++
				case errors.Is(err, context.DeadlineExceeded):
					cancelled++
				default:
					t.Errorf("unexpected: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d done, %d cancelled", done, cancelled)
	require.Equal(t, done*3, one[int](t, db, "SELECT count(*) FROM x"))
}
