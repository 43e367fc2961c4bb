package sqlite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver/sqlite"
)

func TestVerbs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query                    string
		writes, controls, script bool
	}{
		{query: ""},
		{query: ";;"},
		{query: "-- INSERT"},
		{query: "/* INSERT"},
		{query: "SELECT 1"},
		{query: "select 1;"},
		{query: " \n\t/* a */ -- b\n SELECT ';' "},
		{query: "\ufeffSELECT 1"},
		{query: "\n\vDELETE FROM x", writes: true},
		{query: "VALUES (1)"},
		{query: "EXPLAIN INSERT INTO x VALUES (1)"},
		{query: "SELECT 'it''s; DELETE', \"a;b\", `c;d`, [e;f]"},
		{query: "SELECT 'open; DELETE"},
		{query: "SELECT [open; DELETE"},
		{query: "SELECT 1; SELECT 2", script: true},
		{query: "SELECT 1; DELETE FROM x", writes: true, script: true},
		{query: "SELECT ';'; -- none\n /* ; */ ;DELETE FROM x", writes: true, script: true},
		{query: "INSERT INTO x VALUES (1)", writes: true},
		{query: "insert into x values (1)", writes: true},
		{query: "INSERT INTO x VALUES (';')", writes: true},
		{query: "REPLACE INTO x VALUES (1)", writes: true},
		{query: "UPDATE x SET a = 1", writes: true},
		{query: "DELETE FROM x", writes: true},
		{query: "CREATE TABLE x (a)", writes: true},
		{query: "CREATE TRIGGER a AFTER INSERT ON x BEGIN UPDATE x SET a = 1; END", writes: true, controls: true, script: true},
		{query: "VACUUM", writes: true},
		{query: "nonsense", writes: true},
		{query: "(", writes: true},
		{query: "WITH a AS (SELECT 1) SELECT * FROM a"},
		{query: "WITH a(b, c) AS (DELETE), d AS (SELECT (1)) VALUES (1)"},
		{query: "WITH"},
		{query: "WITH a AS (SELECT 1); INSERT INTO x VALUES (1)", writes: true, script: true},
		{query: `WITH "INSERT" AS (SELECT 1) SELECT 1`},
		{query: "WITH RECURSIVE a AS (SELECT 1 UNION SELECT 2) INSERT INTO x SELECT * FROM a", writes: true},
		{query: "with a as (select 1) update x set b = 1", writes: true},
		{query: "WITH a AS (SELECT 1) DELETE FROM x", writes: true},
		{query: "WITH a AS (SELECT 1) REPLACE INTO x VALUES (1)", writes: true},
		{query: "PRAGMA journal_mode"},
		{query: "PRAGMA main.journal_mode"},
		{query: "PRAGMA journal_mode = WAL", writes: true},
		{query: "PRAGMA main.user_version(3)", writes: true},
		{query: "PRAGMA table_info('x')"},
		{query: "PRAGMA foreign_keys=ON"},
		{query: "PRAGMA wal_checkpoint", writes: true},
		{query: "PRAGMA optimize", writes: true},
		{query: "BEGIN", controls: true},
		{query: "begin deferred transaction", controls: true},
		{query: "BEGIN IMMEDIATE", writes: true, controls: true},
		{query: "BEGIN EXCLUSIVE TRANSACTION", writes: true, controls: true},
		{query: "SAVEPOINT a", controls: true},
		{query: "RELEASE a", controls: true},
		{query: "COMMIT", controls: true},
		{query: "END TRANSACTION", controls: true},
		{query: "ROLLBACK", controls: true},
		{query: "ROLLBACK TRANSACTION", controls: true},
		{query: "ROLLBACK TO a"},
		{query: "ROLLBACK TRANSACTION TO SAVEPOINT a"},
		{query: "BEGIN; INSERT INTO x VALUES (1); COMMIT;", writes: true, controls: true, script: true},
		{query: "ATTACH 'x' AS y"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.writes, sqlite.Writes(tt.query), "writes")
			require.Equal(t, tt.controls, sqlite.Controls(tt.query), "controls")
			require.Equal(t, tt.script, sqlite.Script(tt.query), "script")
		})
	}
}

func FuzzVerbs(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1; DELETE FROM x", "WITH a AS (SELECT ')') INSERT", "PRAGMA a.b(c)", "/*", "'", "[", "ROLLBACK TRANSACTION TO x", "\x00;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		writes := sqlite.Writes(query)
		// White space and comments around a text change nothing.
		require.Equal(t, writes, sqlite.Writes(" /* ; INSERT */\n"+query))
		// What is read after a harmless statement is read alike.
		if !strings.Contains(query, "\x00") {
			require.Equal(t, writes, sqlite.Writes("SELECT ';' ; "+query))
		}
	})
}
