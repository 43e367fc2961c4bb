package sqlite_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

func ddl(tb testing.TB) driver.DDL {
	tb.Helper()
	d, ok := lite().(driver.DDL)
	require.True(tb, ok)
	return d
}

// change runs fn between BeginDDL and its end.
func change(ctx context.Context, tb testing.TB, db *bun.DB, wait time.Duration, fn func(bun.IDB) error) error {
	tb.Helper()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	tx, finish, err := ddl(tb).BeginDDL(ctx, conn, wait)
	if err != nil {
		return err
	}
	failure := fn(tx)
	return errors.Join(failure, finish(failure))
}

func TestDDLIsOneTransaction(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, url := range []string{file, "sqlite://"} {
		db := open(t, url)
		failure := errors.New("stop")
		err := change(t.Context(), t, db, time.Second, func(tx bun.IDB) error {
			run(t, tx, "CREATE TABLE a (id INTEGER)")
			return failure
		})
		require.ErrorIs(t, err, failure)
		require.NoError(t, change(t.Context(), t, db, time.Second, func(tx bun.IDB) error {
			run(t, tx, "CREATE TABLE b (id INTEGER)")
			return nil
		}))
		require.Equal(t, "b", one[string](t, db, "SELECT group_concat(name) FROM sqlite_master"))
		run(t, db, "INSERT INTO b VALUES (1)")
	}
}

// TestDDLWaits as long as it is told, whatever busy_timeout is.
func TestDDLWaits(t *testing.T) {
	t.Parallel()
	nothing := func(bun.IDB) error { return nil }
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			path, url := newFile(t)
			db := open(t, url+"?busy_timeout=1")
			run(t, db, "CREATE TABLE x (id INTEGER)")
			end := h.hold(t, db, path)
			start := time.Now()
			err := change(t.Context(), t, db, 150*time.Millisecond, nothing)
			require.Equal(t, driver.Serialization, lite().Classify(err))
			require.GreaterOrEqual(t, time.Since(start), 140*time.Millisecond)

			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, change(ctx, t, db, time.Minute, nothing), context.DeadlineExceeded)

			time.AfterFunc(100*time.Millisecond, end)
			require.NoError(t, change(t.Context(), t, db, 10*time.Second, nothing))
		})
	}
}

func TestExisting(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	run(t, db, `CREATE TABLE Users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, "Größe" TEXT)`)
	run(t, db, "CREATE INDEX ix_users_name ON users (name)")
	run(t, db, "CREATE INDEX other ON users (id, name)")
	run(t, db, "CREATE VIEW v AS SELECT 1")

	tables := []driver.TableName{{Name: "users"}, {Name: "none"}, {Schema: "main", Name: "USERS"}, {Name: "v"}, {Schema: "temp", Name: "users"}}
	existing, err := ddl(t).ExistingTables(t.Context(), db, tables)
	require.NoError(t, err)
	require.Equal(t, []driver.TableName{{Name: "users"}, {Schema: "main", Name: "USERS"}, {Name: "v"}}, existing)

	indexes, err := ddl(t).ExistingIndexes(t.Context(), db, driver.TableName{Name: "USERS"})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"ix_users_name", "other"}, indexes)
	indexes, err = ddl(t).ExistingIndexes(t.Context(), db, driver.TableName{Name: "none"})
	require.NoError(t, err)
	require.Empty(t, indexes)
	require.False(t, ddl(t).LateForeignKeys())
}

func TestDropTables(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	db := open(t, file)
	for _, query := range []string{
		"CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b (id))",
		"CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id))",
		"CREATE TABLE self (id INTEGER PRIMARY KEY, up INTEGER REFERENCES self (id))",
		"CREATE TABLE kept (id INTEGER PRIMARY KEY)",
		"INSERT INTO a VALUES (1, NULL)", "INSERT INTO b VALUES (1, 1)", "UPDATE a SET b = 1",
		"INSERT INTO self VALUES (1, NULL), (2, 1)",
		"INSERT INTO kept VALUES (1)",
		"CREATE TABLE outside (id INTEGER REFERENCES KEPT (id))",
		"INSERT INTO outside VALUES (1)",
	} {
		run(t, db, query)
	}
	drop := func(names ...string) error {
		var tables []driver.TableName
		for _, name := range names {
			tables = append(tables, driver.TableName{Name: name})
		}
		return change(t.Context(), t, db, time.Second, func(tx bun.IDB) error {
			return ddl(t).DropTables(t.Context(), tx, tables)
		})
	}
	left := func() string {
		return one[string](t, db, "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master ORDER BY name)")
	}

	err := drop("a", "b", "kept")
	require.ErrorContains(t, err, `"outside"`)
	require.Equal(t, driver.ForeignKey, lite().Classify(err))
	require.Equal(t, "a b kept outside self", left())

	require.Error(t, drop("a"))
	require.NoError(t, drop("A", "b", "self"))
	require.Equal(t, "kept outside", left())
	require.NoError(t, drop("kept", "outside"))
	require.Zero(t, one[int](t, db, "PRAGMA defer_foreign_keys"))
}

// makeSchema is what a process does when it starts.
func makeSchema(ctx context.Context, tb testing.TB, url string) error {
	tb.Helper()
	db := open(tb, url)
	return change(ctx, tb, db, 10*time.Second, func(tx bun.IDB) error {
		existing, err := ddl(tb).ExistingTables(ctx, tx, []driver.TableName{{Name: "x"}})
		if err == nil && len(existing) == 0 {
			_, err = tx.ExecContext(ctx, "CREATE TABLE x (id INTEGER)")
		}
		return err
	})
}

func TestTenPoolsMakeTheSchema(t *testing.T) {
	t.Parallel()
	for range 5 {
		_, url := newFile(t)
		var group sync.WaitGroup
		errs := make(chan error, 10)
		for range cap(errs) {
			group.Go(func() { errs <- makeSchema(t.Context(), t, url) })
		}
		group.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
	}
}

const processURL = "ECHOBUN_TEST_SQLITE_PROCESS_URL"

// TestTenProcessesMakeTheSchema also changes a new file to WAL in ten
// processes at once, which SQLite does not always wait for.
func TestTenProcessesMakeTheSchema(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(processURL); url != "" {
		_, _ = io.Copy(io.Discard, os.Stdin) // Until the start.
		require.NoError(t, makeSchema(t.Context(), t, url))
		return
	}
	for range 8 {
		_, url := newFile(t)
		processes := make([]*process, 10)
		for i := range processes {
			processes[i] = startProcess(t, url)
		}
		time.Sleep(200 * time.Millisecond) // For all to get there.
		for _, p := range processes {
			require.NoError(t, p.start.Close())
		}
		for _, p := range processes {
			require.NoError(t, p.Wait(), &p.out)
		}
	}
}

// TestChangeToWALWaits makes one moment of that happen each time: SQLite
// refuses the change at once while another process holds its lock.
func TestChangeToWALWaits(t *testing.T) {
	t.Parallel()
	path, url := newFile(t)
	tx, err := foreign(t, path).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	time.AfterFunc(200*time.Millisecond, func() { _ = tx.Rollback() })
	require.Equal(t, "wal", one[string](t, open(t, url), "PRAGMA journal_mode"))
}

// process is the test above it in a process of its own.
type process struct {
	*exec.Cmd

	start io.Closer
	out   strings.Builder
}

func startProcess(t *testing.T, url string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTenProcessesMakeTheSchema$")}
	p.Env = append(os.Environ(), processURL+"="+url)
	p.Stdout, p.Stderr = &p.out, &p.out
	var err error
	p.start, err = p.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	return p
}
