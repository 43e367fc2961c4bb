package mysql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestLeavesState(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"SET sql_mode = ''", "set names utf8mb4", "SET @a = 1", "SET SESSION x = 1", "SET TRANSACTION READ ONLY", "SET ROLE r",
		" -- a\n# b\n/* c */ SET x = 1", "/*!40101 SET NAMES utf8 */", "/*M!100100 SET x = 1 */", "SELECT 1; SET x = 1", "USE other",
		`INSERT INTO t VALUES ('a\';b', "c;""d"); SET x = 1`, "INSERT INTO `a``;b` VALUES (1); USE c", `SELECT ""; USE c`,
		"CREATE TEMPORARY TABLE t (id int)", "CREATE OR REPLACE TEMPORARY TABLE t (id int)", "LOCK TABLES t WRITE",
		"SELECT GET_LOCK('a', 1)", "DO get_lock ('a', 1)", "FLUSH TABLES WITH READ LOCK", "PREPARE p FROM 'SELECT 1'", "HANDLER t OPEN",
		"EXECUTE IMMEDIATE 'SET x = 1'", "BEGIN NOT ATOMIC SET x = 1; END", "IF 1 THEN SET x = 1; END IF",
		"CALL p()", "SET STATEMENT max_statement_time = 1 FOR SET SESSION x = 1", "SET STATEMENT a = 1 FOR EXECUTE IMMEDIATE 'SET x = 1'",
		"SELECT 5--1, GET_LOCK('a', 1)", "SELECT 5--1; SET x = 1",
	} {
		require.True(t, mysql.LeavesState(query), query)
	}
	for _, query := range []string{
		"", "SELECT 1", "SET STATEMENT max_statement_time = 1 FOR SELECT 1", "CREATE TABLE t (id int)", "CREATE OR REPLACE VIEW v AS SELECT 1",
		"INSERT INTO t VALUES ('SELECT GET_LOCK(1); SET x = 1')", `INSERT INTO t VALUES ('\\'';SET x = 1; ')`, "UPDATE t SET get_lock = 1",
		"SELECT RELEASE_LOCK('a'), IS_FREE_LOCK('a')", "BEGIN", "START TRANSACTION", "SAVEPOINT a", "(SELECT 1)", "/* SET x = 1; */ SELECT 1",
		"SELECT 1 -- ; SET x = 1", "SELECT 1 --\t; SET x = 1", "SELECT 1; --", "SELECT `; SET x = 1`", "'", "`", "/*", `'\`, "SELECT 1;", "EXECUTE p", "SHOW TABLES",
	} {
		require.False(t, mysql.LeavesState(query), query)
	}
}

// A connection whose session was changed does not reach the next borrower.
func TestChangedSessionIsGivenUp(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	run(t, open(t, parse(t, server.URL()), driver.Options{}), "CREATE TABLE items (id int)")
	for name, query := range map[string]string{
		"sql_mode": "SET sql_mode = 'ANSI_QUOTES'", "user variable": "SET @a = 1", "next transaction": "SET TRANSACTION READ ONLY", "use": "USE mysql",
		"temporary table": "CREATE TEMPORARY TABLE hidden (id int)", "lock": "SELECT GET_LOCK('" + server.Database + "', 0)", "tables": "LOCK TABLES items WRITE",
		"begin": "BEGIN", "prepared": "PREPARE p FROM 'SELECT 1'", "comment": "/*!40101 SET NAMES latin1 */",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, parse(t, server.URL()), driver.Options{})
			db.SetMaxOpenConns(1)
			id := value[int](t, db, "SELECT CONNECTION_ID()")
			run(t, db, query)
			require.NotEqual(t, id, value[int](t, db, "SELECT CONNECTION_ID()"))
		})
	}
}

// What is taken back, or ends with its transaction, costs no connection.
func TestUnchangedSessionIsKept(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	db.SetMaxOpenConns(1)
	id := value[int](t, db, "SELECT CONNECTION_ID()")
	require.NoError(t, db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		run(t, tx, "SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "SET STATEMENT max_statement_time = 9 FOR SELECT 1")
		return nil
	}))
	ddl, ok := ours(t).(driver.DDL)
	require.True(t, ok)
	c := pinned(t, db)
	_, finish, err := ddl.BeginDDL(t.Context(), c, 0)
	require.NoError(t, err)
	require.NoError(t, finish(nil))
	require.NoError(t, c.Close())
	require.Equal(t, id, value[int](t, db, "SELECT CONNECTION_ID()"))
}

// BenchmarkLeavesState is what it costs to look at each statement.
func BenchmarkLeavesState(b *testing.B) {
	for name, query := range map[string]string{
		"Select": "SELECT `u`.`id`, `u`.`name`, `u`.`created_at` FROM `users` AS `u` WHERE (`u`.`id` = 4711) AND (`u`.`deleted_at` IS NULL) LIMIT 1",
		"Large":  "INSERT INTO `texts` (`text`) VALUES ('" + strings.Repeat("some text; ", 100_000) + "')",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if mysql.LeavesState(query) {
					b.Fatal(query)
				}
			}
		})
	}
}
