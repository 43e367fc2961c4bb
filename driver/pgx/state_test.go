package pgx_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestLeavesState(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"SET search_path TO x", "set session work_mem = '1MB'", "SET ROLE x", "SET TIME ZONE 'UTC'", "RESET ALL", "DISCARD TEMP",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", " \n/* a /* b */ c */ -- d\n SET a = 1", "SELECT 1; SET x = 1",
		"SET LOCAL a = 1; SET b = 2", "INSERT INTO t VALUES ('a;b', $$c;'d$$, E'\\';'); SET x = 1", `SELECT 1 AS "a;b"";c"; RESET x`,
		"CREATE TEMP TABLE t (id int)", "create temporary view v as select 1", "CREATE LOCAL TEMP TABLE t ()", "CREATE OR REPLACE TEMP VIEW v AS TABLE t",
		"SELECT * INTO TEMP t FROM x", "WITH a AS (TABLE x) SELECT * INTO TEMPORARY TABLE t FROM a", "CREATE TABLE pg_temp.t ()", `CREATE TABLE "pg_temp"."t" ()`,
		"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "CREATE TEMP TABLE t () ON COMMIT DELETE ROWS",
		"SELECT pg_advisory_lock(1)", "SELECT pg_catalog.pg_try_advisory_lock_shared (1, 2)", "SELECT PG_ADVISORY_LOCK(1)",
		"SELECT set_config('a.b', 'c', false)", "SELECT pg_catalog.set_config('a.b', concat('c', ')'), (1 = 1))", "SELECT SET_CONFIG('a', 'true', 'f')",
		"LISTEN c", "UNLISTEN *", "PREPARE p AS SELECT 1", "DEALLOCATE ALL", "LOAD 'x'", "DO $$ BEGIN END $$", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
		"CALL p()", "UPDATE pg_settings SET setting = '1' WHERE name = 'x'", `update only pg_catalog."pg_settings" SET setting = '1'`,
		"SET local.tenant = 'x'", `set "transaction" . tenant TO 'x'`, "SET constraints.tenant = 'x'",
		"SELECT set_config('a', 'b', NOT true)", "SELECT set_config('a', 'b', x = TRUE)",
	} {
		require.True(t, pgx.LeavesState(query), query)
	}
	for _, query := range []string{
		"", "SELECT 1", "SET LOCAL search_path TO x", "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED", "PREPARE TRANSACTION 'x'",
		"INSERT INTO temp (a) VALUES (1)", "MERGE INTO temp USING x ON true WHEN MATCHED THEN DO NOTHING", "SELECT temp, temporary FROM x",
		"INSERT INTO t VALUES ('SELECT pg_advisory_lock(1); SET x = 1')", "UPDATE t SET set_config = 1, a_temp = 2", "SELECT 'a'';SET x = 1;'",
		"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(1), pg_advisory_unlock(1)", "SELECT set_config('a.b', 'c', true), 1",
		"SELECT set_config('a', f(')', (1)), TRUE)", "CREATE TEMP TABLE t (id int) ON COMMIT DROP", "CREATE TABLE t (temp int)", "BEGIN; COMMIT; -- SET x",
		"DECLARE c CURSOR FOR SELECT 1", "SELECT $x$; SET x = 1 $x$", `SELECT "; SET x = 1"`, "/* SET x = 1; */ SELECT 1", "SELECT 1; ", "NOTIFY c",
		"SELECT * FROM pg_settings", "INSERT INTO pg_settings_copy SELECT 1",
		"SELECT E'\\'; SET x = 1; ' AS e'", "SELECT 5 AS a$b, $1", "'", "$a$", `"`, "/*", "SELECT pg_temp_x.y FROM x_set_config",
	} {
		require.False(t, pgx.LeavesState(query), query)
	}
}

// sessionFunction sets a parameter where no statement shows it.
const sessionFunction = "CREATE FUNCTION hide() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET application_name = 'hidden'; END $$"

// A connection whose session was changed does not reach the next borrower.
func TestChangedSessionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	exec(t, open(t, s.URL(), ""), sessionFunction, "CREATE SEQUENCE numbers")
	for name, query := range map[string]string{
		"set": "SET statement_timeout = 1", "class": "SET local.tenant = 'x'", "search_path": "SET search_path = pg_catalog", "temporary table": "CREATE TEMP TABLE hidden (id int)",
		"lock": "SELECT pg_advisory_lock(1)", "begin": "BEGIN", "set_config": "SELECT set_config('x.y', 'z', false)",
		"prepared": "PREPARE p AS SELECT 1", "in a function, as the server tells": "SELECT hide()", "later": "SELECT 1; SET statement_timeout = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, s.URL(), "")
			db.SetMaxOpenConns(1)
			pid := backend(t.Context(), t, db)
			exec(t, db, query)
			require.NotEqual(t, pid, backend(t.Context(), t, db))
		})
	}
}

// What ends with its transaction costs no connection.
func TestUnchangedSessionIsKept(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "application_name=mine&search_path=public")
	db.SetMaxOpenConns(1)
	pid := backend(t.Context(), t, db)
	require.NoError(t, db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		exec(t, tx, "SET LOCAL application_name = 'other'", "SET LOCAL TimeZone = 'Asia/Tokyo'", "SELECT set_config('statement_timeout', '9s', true)",
			"CREATE TEMP TABLE passing (id int) ON COMMIT DROP", "SELECT pg_advisory_xact_lock(1)", "SAVEPOINT a", "ROLLBACK TO a", "SET CONSTRAINTS ALL DEFERRED")
		return nil
	}))
	_, err := db.ExecContext(t.Context(), "NO SUCH STATEMENT")
	require.Error(t, err)
	exec(t, db, "NOTIFY somebody")
	require.Equal(t, pid, backend(t.Context(), t, db))
}

// BenchmarkLeavesState is what it costs to look at each statement.
func BenchmarkLeavesState(b *testing.B) {
	for name, query := range map[string]string{
		"Select": `SELECT "u"."id", "u"."name", "u"."created_at" FROM "users" AS "u" WHERE ("u"."id" = 4711) AND ("u"."deleted_at" IS NULL) LIMIT 1`,
		"Insert": `INSERT INTO "users" ("id", "name", "created_at") VALUES (DEFAULT, 'Some Name', '` + time.Time{}.String() + `') RETURNING "id"`,
		"Large":  `INSERT INTO "texts" ("text") VALUES ('` + strings.Repeat("some_text, ", 100_000) + `')`,
		"Words":  `INSERT INTO "texts" ("text") VALUES ('` + strings.Repeat("some text; ", 100_000) + `')`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if pgx.LeavesState(query) {
					b.Fatal(query)
				}
			}
		})
	}
}
