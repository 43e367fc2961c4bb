package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/sqlite"
)

func TestLingers(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"PRAGMA foreign_keys = OFF", "pragma main.cache_size(7)", "PRAGMA query_only=1", "PRAGMA journal_mode = DELETE", "PRAGMA unheard_of = 1",
		"ATTACH 'x' AS y", "DETACH y", "CREATE TEMP TABLE t (id)", "create temporary trigger x", "CREATE TABLE temp.t (id)",
		`CREATE TABLE IF NOT EXISTS "temp"."t" (id)`, "CREATE UNIQUE INDEX [temp].i ON t (id)", "CREATE VIEW `temp` . v AS SELECT 1", "SELECT 1; PRAGMA a = b",
	} {
		require.True(t, sqlite.Lingers(query), query)
	}
	for _, query := range []string{
		"", "PRAGMA foreign_keys", "PRAGMA user_version = 3", "PRAGMA table_info(t)", "PRAGMA integrity_check(5)", "PRAGMA wal_checkpoint(TRUNCATE)",
		"CREATE TABLE temp (id)", "CREATE TABLE t AS SELECT temp.id FROM temp", "CREATE TABLE x.temp (id)", "CREATE INDEX i ON temp (id)", "CREATE", "CREATE TABLE",
		"INSERT INTO t VALUES ('; PRAGMA a = b')", "SELECT 1",
	} {
		require.False(t, sqlite.Lingers(query), query)
	}
}

// A connection that somebody has changed does not reach the next borrower. Of
// those of a file, the next one is as the first one was.
func TestChangedConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other.db")
	for name, tt := range map[string]struct{ change, look string }{
		"pragma":          {"PRAGMA foreign_keys = OFF", "SELECT foreign_keys = 1 FROM pragma_foreign_keys"},
		"query only":      {"PRAGMA query_only = ON", "SELECT query_only = 0 FROM pragma_query_only"},
		"temporary table": {"CREATE TEMP TABLE hidden (id)", "SELECT count(*) = 0 FROM sqlite_temp_master"},
		"attached":        {"ATTACH '" + other + "' AS other", "SELECT count(*) = 1 FROM pragma_database_list"},
		"begin":           {"BEGIN", "SELECT 1"},
	} {
		for kind, url := range map[string]func() string{
			"file":   func() string { _, url := newFile(t); return url },
			"memory": func() string { return "sqlite://" },
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				db := open(t, url())
				db.SetMaxOpenConns(1)
				run(t, db, "CREATE TABLE items (id)")
				run(t, db, tt.change)
				require.True(t, one[bool](t, db, tt.look))
				run(t, db, "INSERT INTO items VALUES (1)")
				require.Zero(t, db.Stats().InUse)
				db.SetMaxIdleConns(0) // What is not committed is gone now.
				require.Equal(t, 1, one[int](t, db, "SELECT count(*) FROM items"))
			})
		}
	}
}

// What is of the file, or ends with its transaction, costs no connection.
func TestUnchangedConnectionIsKept(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	db.SetMaxOpenConns(1)
	raw := func() (c any) {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Raw(func(dc any) error { c = dc; return nil }))
		require.NoError(t, conn.Close())
		return c
	}
	before := raw()
	run(t, db, "CREATE TABLE items (id)")
	run(t, db, "PRAGMA user_version = 3")
	run(t, db, "PRAGMA table_info(items)")
	ddl, ok := lite().(driver.DDL)
	require.True(t, ok)
	require.NoError(t, db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return ddl.DropTables(ctx, tx, []driver.TableName{{Name: "items"}})
	}))
	require.Same(t, before, raw())
}
