package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun/driver"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL DEFAULT '', c INTEGER CHECK (c > 0))")
	run(t, db, "CREATE TABLE k (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")
	run(t, db, "CREATE TABLE f (id INTEGER REFERENCES p (id))")
	run(t, db, "CREATE TABLE s (i INTEGER) STRICT")
	run(t, db, "CREATE TABLE r (id INTEGER REFERENCES p (id) ON DELETE RESTRICT)")
	run(t, db, "CREATE TRIGGER g BEFORE INSERT ON p WHEN new.u = 'no' BEGIN SELECT RAISE(ABORT, 'not this one'); END")
	run(t, db, "INSERT INTO p (id, u) VALUES (1, 'a'), (2, 'b')")
	run(t, db, "INSERT INTO k VALUES (1, 1)")
	run(t, db, "INSERT INTO f VALUES (1)")
	run(t, db, "INSERT INTO r VALUES (2)")

	for _, tt := range []struct {
		query string
		want  driver.Class
	}{
		{"INSERT INTO p (u) VALUES ('a')", driver.Unique},
		{"INSERT INTO p (id) VALUES (1)", driver.Unique},
		{"INSERT INTO k VALUES (1, 1)", driver.Unique},
		{"INSERT INTO f VALUES (9)", driver.ForeignKey},
		{"DELETE FROM p WHERE id = 1", driver.ForeignKey},
		{"DELETE FROM p WHERE id = 2", driver.ForeignKey},
		{"INSERT INTO p (n) VALUES (NULL)", driver.NotNull},
		{"INSERT INTO p (c) VALUES (0)", driver.Check},
		{"INSERT INTO p (id) VALUES ('x')", driver.InvalidValue},
		{"INSERT INTO s VALUES ('x')", driver.InvalidValue},
		{"INSERT INTO p (n) VALUES (zeroblob(2000000000))", driver.InvalidValue},
		{"INSERT INTO p (u) VALUES ('no')", 0},
		{"INSERT INTO nowhere VALUES (1)", 0},
		{"nonsense", 0},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			_, err := db.ExecContext(t.Context(), tt.query)
			require.Error(t, err)
			require.Equal(t, tt.want, lite().Classify(err))
			require.Equal(t, tt.want, lite().Classify(fmt.Errorf("wrapped: %w", err)))
			var cause *modernc.Error
			require.ErrorAs(t, err, &cause)
		})
	}
	require.Zero(t, lite().Classify(nil))
	require.Zero(t, lite().Classify(errors.New("other")))
}

// TestReturningFailsAtCommit: the error of an autocommitted statement with
// RETURNING can come when its rows are closed, where Bun does not look.
func TestReturningFailsAtCommit(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
	run(t, db, "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)")

	row := map[string]any{"p": 9}
	_, err := db.NewInsert().Model(&row).TableExpr("c").Returning("id").Exec(t.Context())
	require.Error(t, err)
	require.Equal(t, driver.ForeignKey, lite().Classify(err))
	require.Zero(t, one[int](t, db, "SELECT count(*) FROM c"))
}

func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text := filepath.Join(folder, "text.txt")
	require.NoError(t, os.WriteFile(text, []byte("This is no database, but a text that is long enough to be read as a header of one."), 0o600))
	good := filepath.Join(folder, "good.db")
	made := open(t, "sqlite:///"+good)
	run(t, made, "CREATE TABLE x (id INTEGER)")
	require.NoError(t, made.Close())

	for _, tt := range []struct {
		name, url, query string
		class            driver.Class
		texts            []string
	}{
		{"missing folder", "sqlite:///" + folder + "/none/x.db", "SELECT 1", driver.Unavailable, []string{folder + "/none", "does not exist"}},
		{"folder is a file", "sqlite:///" + text + "/x.db", "SELECT 1", driver.Unavailable, []string{"text.txt", "not a folder"}},
		{"file is a folder", "sqlite:///" + folder, "SELECT 1", driver.Unavailable, []string{folder, "it is a folder"}},
		{"not a database", "sqlite:///" + text, "SELECT 1", driver.Unavailable, []string{"text.txt", "not a database"}},
		{"no such file", "sqlite:///" + folder + "/none.db?mode=rw", "SELECT 1", driver.Unavailable, []string{"none.db", "mode"}},
		{"no such file to read", "sqlite:///" + folder + "/none.db?mode=ro", "SELECT 1", driver.Unavailable, []string{"none.db", "mode"}},
		{"read-only", "sqlite:///" + good + "?mode=ro", "INSERT INTO x VALUES (1)", driver.ReadOnly, []string{"good.db", "readonly"}},
		{"immutable", "sqlite:///file:" + good + "?immutable=1&uri=true", "INSERT INTO x VALUES (1)", driver.ReadOnly, []string{"good.db", "readonly"}},
		{"unknown vfs", "sqlite:///" + good + "?vfs=none", "SELECT 1", 0, []string{"none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, tt.url).ExecContext(t.Context(), tt.query)
			require.Error(t, err)
			require.Equal(t, tt.class, lite().Classify(err), err)
			for _, text := range tt.texts {
				require.ErrorContains(t, err, text)
			}
		})
	}
	require.Zero(t, one[int](t, open(t, "sqlite:///"+good+"?mode=ro"), "SELECT count(*) FROM x"))
	require.NoFileExists(t, filepath.Join(folder, "none.db"))
}

// TestFullDisk: a full disk ends the whole transaction.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?_pragma=max_page_count(20)")
	run(t, db, "CREATE TABLE x (b BLOB)")
	_, err := db.ExecContext(t.Context(), "INSERT INTO x VALUES (zeroblob(1000000))")
	require.Equal(t, driver.DoomsTx|driver.Unavailable, lite().Classify(err))
	require.ErrorContains(t, err, "test.db")
	run(t, db, "INSERT INTO x VALUES (zeroblob(10))")
}

// TestConnectIsLimited: opening a file that another process holds for itself
// must end with the limits that it was given.
func TestConnectIsLimited(t *testing.T) {
	t.Parallel()
	path, url := newFile(t)
	other := foreign(t, path)
	tx, err := other.Conn(t.Context())
	require.NoError(t, err)
	for _, query := range []string{"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "CREATE TABLE x (id)"} {
		_, err = tx.ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
	defer func() { require.NoError(t, tx.Close()) }()

	connector, err := connect(t, url, driver.Options{ConnectTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	start := time.Now()
	_, err = connector.Connect(t.Context())
	require.ErrorContains(t, err, "locked")
	require.Equal(t, driver.Serialization, lite().Classify(err))
	require.Less(t, time.Since(start), 3*time.Second)

	connector, err = connect(t, url, driver.Options{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = connector.Connect(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 4*time.Second)
	_, err = tx.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
}
