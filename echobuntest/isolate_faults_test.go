package echobuntest_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// slowInserts take long enough to be cancelled.
var slowInserts = map[string]string{
	"PostgreSQL": "INSERT INTO items (name) SELECT 'slow' FROM pg_sleep(10)",
	"MariaDB":    "INSERT INTO items (name) SELECT 'slow' FROM (SELECT SLEEP(10)) s",
	"SQLite": "INSERT INTO items (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) " +
		"SELECT 'slow ' || max(i) FROM n",
}

// A statement that is cancelled takes nothing with it but itself. On SQLite,
// where it would take the whole transaction, it is finished.
func TestIsolateCancelled(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		require.NoError(t, addItem(t.Context(), x.Engine(), "before"))
		query, server := slowInserts[x.kind]
		if !server {
			query = slowInserts["SQLite"]
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		_, err := x.Engine().ExecContext(ctx, query)
		finished := int64(1)
		if server || err != nil { // On SQLite, only if it had not begun in time.
			require.ErrorIs(t, err, context.DeadlineExceeded)
			finished = 0
		}
		requireItems(t, x.Extension, 1+finished)
		require.ErrorIs(t, addItem(ctx, x.Engine(), "too late"), context.DeadlineExceeded)
		require.NoError(t, addItem(t.Context(), x.Engine(), "afterwards"))
		requireItems(t, x.Extension, 2+finished)
	})
}

// A query of SQLite can be cancelled: it has nothing to take with it.
func TestIsolateCancelledQuery(t *testing.T) {
	t.Parallel()
	x := isolated(t, "SQLite", "sqlite://")
	require.NoError(t, addItem(t.Context(), x.Engine(), "before"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var n int
	err := x.Engine().QueryRowContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000000) SELECT max(i) FROM n").Scan(&n)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireItems(t, x.Extension, 1)
	require.Empty(t, x.tb.end())
}

// Contexts that end at any time harm nobody else.
func TestIsolateDeadlines(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
			_ = addItem(ctx, x.Engine(), fmt.Sprint("alone ", i))
			_ = x.Engine().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				return addItem(ctx, tx, fmt.Sprint("together ", i))
			})
			cancel()
			_, err := x.Engine().NewSelect().Model((*Item)(nil)).Count(t.Context())
			require.NoError(t, err, "%d", i)
		}
	})
}

// A transaction that is open when the test ends is rolled back all the same:
// its locks would be in the next test's way.
func TestIsolateLeftOpen(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			x := isolated(t, kind.name, kind.url(t))
			tx, err := x.Engine().BeginTx(context.Background(), nil)
			require.NoError(t, err)
			require.NoError(t, addItem(t.Context(), tx, "left open"))

			require.Contains(t, x.tb.end(), "still open")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			require.NoError(t, addItem(ctx, x.Engine(), "left open"), "no lock is in the way")
			require.ErrorContains(t, addItem(t.Context(), tx, "late"), "ended")
			require.ErrorContains(t, tx.Commit(), "ended")
			requireItems(t, x.Extension, 1)
			require.Zero(t, x.Engine().Stats().InUse)
		})
	}
}

// A statement that runs when the test ends is stopped.
func TestIsolateStillRunning(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			url := kind.url(t)
			x, other := isolated(t, kind.name, url), open(t, url, "sqlite://")
			done := make(chan error, 1)
			go func() {
				_, err := x.Engine().ExecContext(context.WithoutCancel(t.Context()), slowInserts[kind.name])
				done <- err
			}()
			require.Eventually(t, func() bool { return isSleeping(t, other) }, 5*time.Second, time.Millisecond)
			begun := time.Now()
			require.Contains(t, x.tb.end(), "still open")
			require.Error(t, <-done)
			require.Less(t, time.Since(begun), 8*time.Second)
			requireItems(t, x.Extension, 0)
		})
	}
}

// isSleeping reports whether a server runs one of slowInserts.
func isSleeping(t *testing.T, x *echobun.Extension) bool {
	t.Helper()
	query := "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(10)%' AND id <> CONNECTION_ID()"
	if x.Engine().Dialect().Name() == dialect.PG {
		query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(10)%' AND pid <> pg_backend_pid() AND datname = current_database()"
	}
	var n int
	require.NoError(t, x.Engine().NewRaw(query).Scan(t.Context(), &n))
	return n > 0
}

// Statements that would end the isolation are refused, and do nothing.
func TestIsolateRefusesSQL(t *testing.T) {
	t.Parallel()
	refused := []string{
		"BEGIN", "start transaction", "COMMIT", "/* so */ commit work", "END", "ABORT", "ROLLBACK", "rollback work",
		"XA START 'x'", "PREPARE TRANSACTION 'x'", "INSERT INTO items (name) VALUES ('script'); COMMIT", "SELECT ';'; COMMIT AND CHAIN",
		"SELECT 1; ROLLBACK; BEGIN",
	}
	implicit := []string{
		"TRUNCATE TABLE items", "CREATE TABLE late (id int)", "DROP TABLE items", "ALTER TABLE items ADD late int",
		"RENAME TABLE items TO late", "LOCK TABLES items READ",
	}
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		require.NoError(t, addItem(t.Context(), x.Engine(), "before"))
		queries := refused
		if x.kind == "MariaDB" {
			queries = append(slices.Clip(queries), implicit...)
			_, err := x.Engine().ExecContext(t.Context(), "CREATE TEMPORARY TABLE passing (id int)")
			require.NoError(t, err)
		}
		for _, query := range queries {
			_, err := x.Engine().ExecContext(t.Context(), query)
			require.ErrorContains(t, err, "isolated test", query)
			requireUnprepared(t, x, query, "isolated test")
		}
		require.NoError(t, x.Engine().RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			for _, query := range []string{"SAVEPOINT mine", "INSERT INTO items (name) VALUES ('never')", "ROLLBACK TO mine"} {
				_, err := tx.ExecContext(ctx, query)
				require.NoError(t, err, query)
			}
			return nil
		}))
		requireItems(t, x.Extension, 1)
	})
}

// What cannot be seen coming is noticed: by the statement itself, by what
// follows, and at the end, since rows may have stayed.
func TestIsolateSaysThatItIsLost(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"DDL":              "EXECUTE IMMEDIATE 'CREATE TABLE late (id int)'",
		"commit":           "EXECUTE IMMEDIATE 'COMMIT'",
		"commit and begin": "EXECUTE IMMEDIATE 'COMMIT AND CHAIN'",
	} {
		for _, inTx := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, inTx), func(t *testing.T) {
				t.Parallel()
				x := isolated(t, "MariaDB", dbtest.MariaDB(t).URL())
				require.NoError(t, addItem(t.Context(), x.Engine(), "before"))
				var err error
				if inTx {
					err = x.Engine().RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
						_, err := tx.ExecContext(ctx, query)
						return err
					})
				} else {
					_, err = x.Engine().ExecContext(t.Context(), query)
				}
				require.ErrorContains(t, err, "was lost")
				require.ErrorContains(t, addItem(t.Context(), x.Engine(), "refused"), "was lost")
				require.Contains(t, x.tb.end(), "was lost")
				require.NoError(t, addItem(t.Context(), x.Engine(), "as usual"))
			})
		}
	}
}

// After a deadlock MariaDB would commit what the rest of the transaction
// writes, statement by statement.
func TestIsolateDeadlock(t *testing.T) {
	t.Parallel()
	url := dbtest.MariaDB(t).URL()
	other := open(t, url, "sqlite://")
	_, err := other.Engine().ExecContext(t.Context(), "INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')")
	require.NoError(t, err)
	x := isolated(t, "MariaDB", url)
	touch := func(db bun.IDB, id int) error {
		_, err := db.ExecContext(t.Context(), "UPDATE items SET name = concat(name, '!') WHERE id = ?", id)
		return err
	}
	mine, err := x.Engine().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, touch(mine, 1))
	theirs, err := other.Engine().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for i := range 20 { // So that it is not the victim.
		require.NoError(t, addItem(t.Context(), theirs, strconv.Itoa(i)))
	}
	require.NoError(t, touch(theirs, 2))
	waits := make(chan error, 1)
	go func() { waits <- touch(theirs, 1) }()
	require.Eventually(t, func() bool {
		var n int
		err := other.Engine().NewRaw("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE items%'").Scan(t.Context(), &n)
		return err == nil && n == 1
	}, 5*time.Second, time.Millisecond)
	err = touch(mine, 2)
	require.ErrorIs(t, err, echobun.ErrSerialization)
	require.ErrorContains(t, err, "was lost")
	require.NoError(t, <-waits)
	require.NoError(t, theirs.Rollback())

	require.ErrorContains(t, addItem(t.Context(), mine, "escaped"), "was lost")
	_ = mine.Rollback()
	require.Contains(t, x.tb.end(), "was lost")
	requireItems(t, other, 2)
}
