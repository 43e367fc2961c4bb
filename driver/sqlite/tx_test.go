package sqlite_test

import (
	"context"
	"database/sql"
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
