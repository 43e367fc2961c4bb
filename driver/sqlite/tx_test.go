package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

func TestReadOnlyTransaction(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, url := range []string{file, "sqlite://"} {
		db := open(t, url)
		db.SetMaxOpenConns(1)
		run(t, db, "CREATE TABLE x (id INTEGER)")
		for _, end := range []func(bun.Tx) error{bun.Tx.Commit, bun.Tx.Rollback} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "INSERT INTO x VALUES (1)")
			require.Equal(t, driver.ReadOnly, lite().Classify(err))
			require.NoError(t, end(tx))
			run(t, db, "INSERT INTO x VALUES (2)")
		}
		require.Equal(t, 2, one[int](t, db, "SELECT count(*) FROM x"))
	}
}

func TestQueryOnlyStays(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	run(t, open(t, url), "CREATE TABLE x (id INTEGER)")
	db := open(t, url+"?query_only=on")
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	_, err = db.ExecContext(t.Context(), "INSERT INTO x VALUES (1)")
	require.Equal(t, driver.ReadOnly, lite().Classify(err))
}

func TestIsolationLevels(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://")
	for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
	}
	_, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: 99})
	require.ErrorContains(t, err, "isolation level")
}

// TestReadThenWrite fails in a transaction that begins DEFERRED when another
// one has written in between.
func TestReadThenWrite(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (n INTEGER)")
	run(t, db, "INSERT INTO x VALUES (0)")
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			for range 20 {
				if err := increment(db.DB); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 160, one[int](t, db, "SELECT n FROM x"))
}

func increment(db *sql.DB) error {
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var n int
	if err := tx.QueryRowContext(context.Background(), "SELECT n FROM x").Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(context.Background(), "UPDATE x SET n = ?", n+1); err != nil {
		return err
	}
	return tx.Commit()
}

// TestDeferredTransactions take their turn at their first write.
func TestDeferredTransactions(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?_txlock=deferred&busy_timeout=100")
	run(t, db, "CREATE TABLE x (n INTEGER)")
	first, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	second, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, one[int](t, second, "SELECT count(*) FROM x"))
	run(t, first, "INSERT INTO x VALUES (1)")
	_, err = second.ExecContext(t.Context(), "INSERT INTO x VALUES (2)")
	require.Equal(t, driver.Serialization, lite().Classify(err))
	require.NoError(t, first.Commit())
	_, err = second.ExecContext(t.Context(), "INSERT INTO x VALUES (2)")
	require.Equal(t, driver.Serialization, lite().Classify(err), "its snapshot is old")
	require.NoError(t, second.Rollback())
	run(t, db, "INSERT INTO x VALUES (3)")
}

// TestCommitFails leaves nothing behind and frees the connection.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	db.SetMaxOpenConns(1)
	run(t, db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
	run(t, db, "CREATE TABLE c (id INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	run(t, tx, "INSERT INTO c VALUES (1)")
	err = tx.Commit()
	require.Equal(t, driver.ForeignKey, lite().Classify(err))
	run(t, db, "INSERT INTO p VALUES (1)")
	require.Zero(t, one[int](t, db, "SELECT count(*) FROM c"))
}

// TestCommitIsLimited: outside of WAL mode, COMMIT waits for readers.
func TestCommitIsLimited(t *testing.T) {
	t.Parallel()
	path, url := newFile(t)
	db := open(t, url+"?journal_mode=delete&busy_timeout=8000")
	run(t, db, "CREATE TABLE x (id INTEGER)")
	run(t, db, "INSERT INTO x VALUES (1)")
	reader, err := foreign(t, path).BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.NoError(t, reader.QueryRowContext(t.Context(), "SELECT id FROM x").Scan(new(int)))

	tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), 100*time.Millisecond), nil)
	require.NoError(t, err)
	run(t, tx, "INSERT INTO x VALUES (2)")
	start := time.Now()
	err = tx.Commit()
	require.Equal(t, driver.Serialization, lite().Classify(err))
	require.Less(t, time.Since(start), 5*time.Second)
	require.NoError(t, reader.Rollback())
	require.Equal(t, 1, one[int](t, db, "SELECT count(*) FROM x"))
	run(t, db, "INSERT INTO x VALUES (3)")
}

// TestWhoHasReadDoesNotQueue, outside of WAL mode: the COMMIT of who is through
// waits for its end. Who has not read waits its turn.
func TestWhoHasReadDoesNotQueue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first []string
		reads bool
	}{
		{name: "nothing", first: nil},
		{name: "a savepoint", first: []string{"SAVEPOINT a"}},
		{name: "a savepoint that is released", first: []string{"SAVEPOINT a", "SAVEPOINT b", "RELEASE b", "ROLLBACK TO a"}},
		{name: "a row of no table", first: []string{"SELECT 1"}},
		{name: "a pragma of its own", first: []string{"PRAGMA foreign_keys"}},
		{name: "a row", first: []string{"SELECT count(*) FROM x"}, reads: true},
		{name: "a row behind a savepoint", first: []string{"SAVEPOINT a", "SELECT count(*) FROM x", "ROLLBACK TO a"}, reads: true},
	} {
		for _, begin := range []string{"BeginTx", "BEGIN"} {
			t.Run(tt.name+"/"+begin, func(t *testing.T) {
				t.Parallel()
				_, url := newFile(t)
				db := open(t, url+"?transaction=deferred&journal_mode=delete&busy_timeout=8000")
				run(t, db, "CREATE TABLE x (n INTEGER)")
				other, err := db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				defer func() { _ = other.Rollback() }()
				run(t, other, "INSERT INTO x VALUES (1)")

				tx, rollback := beginWith(t, db, begin)
				for _, statement := range tt.first {
					run(t, tx, statement)
				}
				time.AfterFunc(50*time.Millisecond, func() { _ = other.Commit() })
				start := time.Now()
				prepares, ok := tx.(preparer)
				require.True(t, ok)
				insert, err := prepares.PrepareContext(t.Context(), "INSERT INTO x VALUES (2)")
				require.NoError(t, err)
				defer insert.Close()
				_, err = insert.ExecContext(t.Context())
				require.Less(t, time.Since(start), 4*time.Second)
				require.Equal(t, tt.reads, lite().Classify(err) == driver.Serialization, "%v", err)
				require.Equal(t, tt.reads, err != nil, "%v", err)
				rollback()
				run(t, db, "INSERT INTO x VALUES (3)")
			})
		}
	}
}

type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// beginWith begins a transaction, by BeginTx or by a statement.
func beginWith(t *testing.T, db *bun.DB, how string) (bun.IDB, func()) {
	t.Helper()
	if how == "BeginTx" {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		return tx, func() { require.NoError(t, tx.Rollback()) }
	}
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	run(t, conn, how)
	return conn, func() {
		run(t, conn, "ROLLBACK")
		require.NoError(t, conn.Close())
	}
}

// TestOpenRowsDoNotQueue: what has rows open on its own connection has the lock
// of a reader.
func TestOpenRowsDoNotQueue(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?journal_mode=delete&busy_timeout=8000")
	run(t, db, "CREATE TABLE x (n INTEGER)")
	run(t, db, "INSERT INTO x VALUES (1), (2)")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	rows, err := conn.QueryContext(t.Context(), "SELECT n FROM x")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	require.True(t, rows.Next())

	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	run(t, other, "INSERT INTO x VALUES (3)")
	start := time.Now()
	_, err = conn.ExecContext(t.Context(), "INSERT INTO x VALUES (4)")
	require.Equal(t, driver.Serialization, lite().Classify(err))
	require.Less(t, time.Since(start), 4*time.Second)
	require.NoError(t, errors.Join(rows.Err(), rows.Close()))
	require.NoError(t, other.Commit())
	run(t, conn, "INSERT INTO x VALUES (4)")
}

// TestJournalModeIsAskedForAgain once a statement may have changed it.
func TestJournalModeIsAskedForAgain(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?busy_timeout=8000")
	run(t, db, "CREATE TABLE x (n INTEGER)")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	run(t, conn, "PRAGMA journal_mode = DELETE")
	run(t, conn, "BEGIN")
	require.Zero(t, one[int](t, conn, "SELECT count(*) FROM x"))
	other, err := open(t, url+"?journal_mode=delete").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()

	start := time.Now()
	_, err = conn.ExecContext(t.Context(), "INSERT INTO x VALUES (1)")
	require.Equal(t, driver.Serialization, lite().Classify(err))
	require.Less(t, time.Since(start), 4*time.Second)
	run(t, conn, "ROLLBACK")
}

// TestReadOnlyTransactionWaitsWithItsContext, where somebody else has the file.
func TestReadOnlyTransactionWaitsWithItsContext(t *testing.T) {
	t.Parallel()
	path, url := newFile(t)
	db := open(t, url+"?journal_mode=delete&busy_timeout=8000")
	run(t, db, "CREATE TABLE x (n INTEGER)")
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	other, err := foreign(t, path).Conn(t.Context())
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = tx.QueryContext(ctx, "SELECT n FROM x") //nolint:sqlclosecheck,rowserrcheck // There are none.
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 4*time.Second)
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, errors.Join(err, other.Close()))
	require.NoError(t, tx.Rollback())
}
