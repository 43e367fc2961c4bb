package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// TestWritersQueueFairly lets 32 goroutines write transactions of 10 ms. A
// fair queue makes each wait for the 31 others, and no longer.
func TestWritersQueueFairly(t *testing.T) { //nolint:paralleltest // It measures time.
	_, url := newFile(t)
	span := 8 * time.Second
	if testing.Short() {
		span = 2 * time.Second
	}
	const writers, hold = 32, 10 * time.Millisecond
	db := open(t, url)
	run(t, db, "CREATE TABLE events (id INTEGER PRIMARY KEY, writer INTEGER)")

	warm(t, db, writers)

	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()

	var mu sync.Mutex
	var took []time.Duration
	var ends []time.Time
	var group sync.WaitGroup
	errs := make(chan error, writers)
	for writer := range writers {
		group.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
					time.Sleep(hold)
					_, err := tx.ExecContext(ctx, "INSERT INTO events (writer) VALUES (?)", writer)
					return err
				})
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				end := time.Now()
				took, ends = append(took, end.Sub(start)), append(ends, end)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	close(errs)
	require.NoError(t, <-errs)
	require.Greater(t, len(ends), 2*writers)

	// Each writer may wait as long as one transaction of all 32 takes. Where
	// the machine is busy with something else, that is more than 32 x 10 ms.
	var rounds []time.Duration
	for i := writers; i < len(ends); i++ {
		rounds = append(rounds, ends[i].Sub(ends[i-writers]))
	}
	p99, round := percentile(took, 99), percentile(rounds, 99)
	t.Logf("%d transactions, p50 %v, p99 %v, max %v; 32 in a row take %v, at p99 %v",
		len(took), percentile(took, 50), p99, percentile(took, 100), percentile(rounds, 50), round)
	require.Less(t, p99, max(writers*hold, round)*12/10)
	require.Equal(t, len(took), one[int](t, db, "SELECT count(*) FROM events"))
}

// warm opens n connections.
func warm(t *testing.T, db *bun.DB, n int) {
	t.Helper()
	conns := make([]bun.Conn, n)
	for i := range conns {
		var err error
		conns[i], err = db.Conn(t.Context())
		require.NoError(t, err)
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
}

func percentile(list []time.Duration, p int) time.Duration {
	slices.Sort(list)
	return list[(len(list)-1)*p/100]
}

// hold begins a writing transaction, and returns what ends it.
func hold(tb testing.TB, db bun.IDB) (end func()) {
	tb.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(tb, err)
	return func() { require.NoError(tb, tx.Rollback()) }
}

// foreign opens the file past this package, as another process would.
func foreign(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path+"?_txlock=immediate")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

func TestEnginesOfOneFileShareTheQueue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, url string }{
		{"same name", "sqlite:///FOLDER/one.db?busy_timeout=20"},
		{"through a linked folder", "sqlite:///FOLDER/linked/one.db?busy_timeout=20"},
		{"through a linked file", "sqlite:///FOLDER/other.db?busy_timeout=20"},
		{"through dots", "sqlite:///FOLDER/linked/../BASE/./one.db?busy_timeout=20"},
		{"as a URI", "sqlite:///file:FOLDER/one.db?uri=true&mode=rw&busy_timeout=20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			first := open(t, "sqlite:///"+folder+"/one.db")
			run(t, first, "CREATE TABLE x (id INTEGER)")
			require.NoError(t, os.Symlink(folder, filepath.Join(folder, "linked")))
			require.NoError(t, os.Symlink("one.db", filepath.Join(folder, "other.db")))
			end := hold(t, first)
			defer end()

			url := strings.NewReplacer("FOLDER", folder, "BASE", filepath.Base(folder)).Replace(tt.url)
			_, err := open(t, url).ExecContext(t.Context(), "INSERT INTO x VALUES (1)")
			require.ErrorContains(t, err, "other writers of this process")
			require.Equal(t, driver.Serialization, lite().Classify(err))
		})
	}
}

// holders hold the lock of a file, each in its way.
var holders = []struct {
	name string
	hold func(tb testing.TB, db *bun.DB, path string) (end func())
}{
	{"own engine", func(tb testing.TB, db *bun.DB, _ string) func() {
		tb.Helper()
		return hold(tb, db)
	}},
	{"other process", func(tb testing.TB, _ *bun.DB, path string) func() {
		tb.Helper()
		tx, err := foreign(tb, path).BeginTx(context.Background(), nil)
		require.NoError(tb, err)
		return func() { require.NoError(tb, tx.Rollback()) }
	}},
}

// writers want the lock, each in its way.
var writers = []struct {
	name  string
	write func(ctx context.Context, db *bun.DB) error
}{
	{"statement", func(ctx context.Context, db *bun.DB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO x VALUES (1)")
		return err
	}},
	{"query", func(ctx context.Context, db *bun.DB) error {
		return db.QueryRowContext(ctx, "INSERT INTO x VALUES (1) RETURNING id").Scan(new(int))
	}},
	{"transaction", func(ctx context.Context, db *bun.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		return tx.Rollback()
	}},
}

// TestWaitIsLimited by busy_timeout, and by the context.
func TestWaitIsLimited(t *testing.T) {
	t.Parallel()
	for _, h := range holders {
		for _, w := range writers {
			t.Run(h.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				path, url := newFile(t)
				db := open(t, url+"?busy_timeout=300")
				run(t, db, "CREATE TABLE x (id INTEGER)")
				end := h.hold(t, db, path)
				defer end()

				start := time.Now()
				err := w.write(context.Background(), db)
				require.ErrorContains(t, err, "database is locked")
				require.ErrorContains(t, err, filepath.Base(path))
				require.Equal(t, driver.Serialization, lite().Classify(err))
				require.GreaterOrEqual(t, time.Since(start), 290*time.Millisecond)
				require.Less(t, time.Since(start), 3*time.Second)
			})
		}
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, h := range holders {
		for _, w := range writers {
			t.Run(h.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				path, url := newFile(t)
				db := open(t, url+"?busy_timeout=8000")
				run(t, db, "CREATE TABLE x (id INTEGER)")
				end := h.hold(t, db, path)
				defer end()

				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				start := time.Now()
				require.ErrorIs(t, w.write(ctx, db), context.DeadlineExceeded)
				require.Less(t, time.Since(start), 5*time.Second)
			})
		}
	}
}

func TestOwnTransactionIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, tt := range []struct{ name, url, query string }{
		{"file", file + "?timeout=0.1", "INSERT INTO x VALUES (1)"},
		{"memory", "sqlite://?timeout=0.1", "INSERT INTO x VALUES (1)"},
		{"memory, reading", "sqlite://?timeout=0.1", "SELECT * FROM x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, tt.url)
			run(t, db, "CREATE TABLE IF NOT EXISTS x (id INTEGER)")
			start := time.Now()
			err := db.RunInTx(t.Context(), nil, func(ctx context.Context, _ bun.Tx) error {
				_, err := db.ExecContext(ctx, tt.query)
				return err
			})
			require.Less(t, time.Since(start), 5*time.Second)
			require.ErrorContains(t, err, "use the transaction")
			require.Equal(t, driver.Serialization, lite().Classify(err))
			run(t, db, "INSERT INTO x VALUES (2)")
		})
	}
}

func TestReadersDoNotWait(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER)")
	end := hold(t, db)
	defer end()

	start := time.Now()
	require.Equal(t, 0, one[int](t, db, "SELECT count(*) FROM x"))
	require.Equal(t, 0, one[int](t, db, "/* a */ WITH y AS (SELECT 1) SELECT count(*) FROM x -- ; INSERT"))
	require.Equal(t, 1, one[int](t, db, "VALUES (1)"))
	require.Equal(t, "x", one[string](t, db, "SELECT name FROM sqlite_master WHERE name <> 'INSERT; --'"))
	require.Equal(t, "wal", one[string](t, db, "PRAGMA journal_mode"))
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.Equal(t, 0, one[int](t, tx, "SELECT count(*) FROM x"))
	require.NoError(t, tx.Rollback())
	require.Less(t, time.Since(start), 2*time.Second)
}

// TestRowsOfWritesHoldNobodyUp leaves the rows of writing statements open.
func TestRowsOfWritesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?busy_timeout=200")
	run(t, db, "CREATE TABLE x (id INTEGER)")

	rows, err := db.QueryContext(t.Context(), "INSERT INTO x VALUES (1), (2), (3) RETURNING id")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	require.True(t, rows.Next())
	run(t, db, "INSERT INTO x VALUES (4)")
	require.True(t, rows.Next())
	require.NoError(t, rows.Err())

	reading, err := db.QueryContext(t.Context(), "SELECT id FROM x")
	require.NoError(t, err)
	defer func() { require.NoError(t, reading.Close()) }()
	for reading.Next() {
		run(t, db, "INSERT INTO x VALUES (5)")
	}
	require.NoError(t, reading.Err())
	require.Equal(t, 8, one[int](t, db, "SELECT count(*) FROM x"))
}
