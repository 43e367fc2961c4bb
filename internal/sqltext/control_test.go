package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// dialects by name, for tables of tests.
var dialects = map[string]sqlwords.Dialect{"pg": sqlwords.Postgres, "mysql": sqlwords.MySQL, "sqlite": sqlwords.SQLite}

func TestEndingOf(t *testing.T) {
	t.Parallel()
	always := []string{
		"COMMIT", "ROLLBACK", "BEGIN", "/* c */ commit", "\n-- c\nrollback work", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
		"SELECT 1; COMMIT; BEGIN", "SELECT 1; ROLLBACK; BEGIN", "SELECT ';'; COMMIT", "; COMMIT", ";;/* x */COMMIT;BEGIN",
		"INSERT INTO t VALUES ('a''; b'); -- c\n COMMIT", "WITH x AS (SELECT 1) SELECT 1;COMMIT", "SELECT 1; ROLLBACK WORK; SAVEPOINT a",
		"SAVEPOINT a; ROLLBACK TO a; COMMIT AND NO CHAIN", "start transaction",
	}
	for kind, more := range map[string][]string{
		"pg": {
			"END", "ABORT", "PREPARE TRANSACTION 'x'", "SELECT $$ ; $$; COMMIT", "SELECT E'\\''; COMMIT", "/* /* */ ; */ COMMIT",
			"DO $$ BEGIN END $$; COMMIT", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; COMMIT",
			"CREATE RULE r AS ON INSERT TO a DO (DELETE FROM a; DELETE FROM b); COMMIT", "SELECT 'a\\'; COMMIT; --'",
		},
		"mysql": {
			"/*! COMMIT */", "/*!50000 SELECT 1; COMMIT */", "SELECT 1 # ;\n; COMMIT", "SELECT 'a\\'; b'; COMMIT", "SET autocommit = 1",
			"SET @a = 1, @@session.autocommit := ON", "SET STATEMENT max_statement_time = 1 FOR COMMIT", "XA START 'x'",
			"BEGIN NOT ATOMIC INSERT INTO t VALUES (1); COMMIT; START TRANSACTION; END",
			"BEGIN NOT ATOMIC IF 1 THEN ROLLBACK; END IF; END", "IF 1 THEN COMMIT; END IF", "a: BEGIN NOT ATOMIC COMMIT; END",
			"BEGIN NOT ATOMIC SET @a = 1; END; COMMIT", "SET @old = @@autocommit, autocommit = 1", "SET GLOBAL autocommit = 0, autocommit = ON",
			"SET @@autocommit = DEFAULT", "SET LOCAL autocommit = @old", "BEGIN NOT ATOMIC IF 1 THEN COMMIT AND CHAIN; END IF; END", "START SLAVE",
		},
		"sqlite": {
			"END", "SELECT 1; END TRANSACTION", "/* /* */ COMMIT; BEGIN /* */", "SELECT [;]; COMMIT",
			"CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END; COMMIT",
		},
	} {
		for _, text := range append(more, always...) {
			op, how := sqltext.EndingOf(dialects[kind], text)
			require.Equal(t, sqltext.Controls, how, "%s: %s", kind, text)
			require.NotEmpty(t, op)
		}
	}
	for _, text := range []string{
		"CREATE TABLE a (id int)", "SELECT 1; DROP TABLE a", "ALTER TABLE a COMMENT 'x'", "ANALYZE LOCAL TABLE a", "SET PASSWORD = 'x'",
		"OPTIMIZE TABLE a", "CREATE OR REPLACE TABLE a (id int)", "BEGIN NOT ATOMIC TRUNCATE a; END", "SELECT 1; /*! DROP TABLE a */",
		"LOAD INDEX INTO CACHE a", "IMPORT TABLE FROM 'a'", "SET DEFAULT ROLE r TO u", "CREATE TEMPORARY SEQUENCE s", "RESET MASTER",
		"BEGIN NOT ATOMIC CASE 1 WHEN 1 THEN FLUSH TABLES; END CASE; END", "IF 1 THEN SELECT 1; ELSE TRUNCATE a; END IF",
	} {
		_, how := sqltext.EndingOf(sqlwords.MySQL, text)
		require.Equal(t, sqltext.Commits, how, text)
	}
}

// What only looks like it does not end the transaction.
func TestEndingOfOthers(t *testing.T) {
	t.Parallel()
	always := []string{
		"", ";", "SELECT 1", "SELECT 1;", "SELECT 'a; COMMIT'", "SELECT \"a; COMMIT\" FROM t", "SELECT 1 -- ; COMMIT", "SELECT 1; /* COMMIT */",
		"SAVEPOINT a; ROLLBACK TO a; RELEASE SAVEPOINT a", "ROLLBACK WORK TO SAVEPOINT a", "INSERT INTO t (commit) VALUES (1); SELECT 1",
	}
	for kind, more := range map[string][]string{
		"pg": {
			"CREATE TABLE a (id int)", "DO $$ BEGIN COMMIT; END $$; SELECT 1", "PREPARE p AS SELECT 1", "SELECT $a$; COMMIT$a$; SELECT 2",
			"CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END", "SELECT E'\\'; COMMIT; --'",
			"CREATE RULE r AS ON INSERT TO a DO (DELETE FROM a; DELETE FROM b)", "SELECT CASE WHEN true THEN 1 END; SELECT 2",
		},
		"mysql": {
			"CREATE TEMPORARY TABLE a (id int)", "CREATE OR REPLACE TEMPORARY TABLE a (id int)", "DROP PREPARE p", "ANALYZE SELECT 1",
			"BEGIN NOT ATOMIC SET @a = 1; BEGIN SET @b = 1; END; END", "SET autocommit = 0", "SET @a = 1", "SELECT 'a\\'; COMMIT; -- '",
			"SET STATEMENT max_statement_time = 1 FOR SELECT 1", "SELECT `; COMMIT`", "CALL p()", "SELECT 1; CALL p()",
			"SET @autocommit = 1", "SET @a = @@autocommit", "SET GLOBAL autocommit = 1", "SET @@global.autocommit = 1", "SET PERSIST autocommit = 1", "XA RECOVER",
			"RESET PERSIST", "LOAD DATA INFILE 'a' INTO TABLE b", "commit: BEGIN NOT ATOMIC SELECT 1; END",
			"BEGIN NOT ATOMIC SELECT CASE WHEN 1 THEN start ELSE commit END FROM t; END", "BEGIN NOT ATOMIC SELECT CASE a WHEN 1 THEN rollback + 1 ELSE (stop) END; END",
			"IF 1 THEN SELECT CASE WHEN 1 THEN flush WHEN 2 THEN reset.a ELSE `commit` END FROM t; END IF",
		},
		"sqlite": {
			"CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET n = 1; DELETE FROM t; END", "CREATE TABLE a (id int); DROP TABLE a",
			"CREATE TEMP TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END; SELECT 2", "SELECT [; COMMIT]",
		},
	} {
		for _, text := range append(more, always...) {
			_, how := sqltext.EndingOf(dialects[kind], text)
			require.Equal(t, sqltext.None, how, "%s: %s", kind, text)
		}
	}
}

// The usual statement is told without a look at its words.
func TestEndingOfAllocatesNothing(t *testing.T) { //nolint:paralleltest // It counts allocations.
	text := "INSERT INTO t VALUES ('a;b', 1), ('c', 2)"
	require.Zero(t, testing.AllocsPerRun(100, func() { sqltext.EndingOf(sqlwords.MySQL, text) }))
}

func FuzzEndingOf(f *testing.F) {
	for _, seed := range []string{"SELECT 1; COMMIT", "CREATE TRIGGER a BEGIN ; END", "BEGIN NOT ATOMIC", "SET STATEMENT FOR SET STATEMENT FOR", "a:b:", "create function begin case end"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		for _, d := range dialects {
			sqltext.EndingOf(d, text)
		}
	})
}
