package mysql_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// commitStatements are those of MariaDB's and MySQL's manuals that commit
// implicitly, what is written like them, and identifiers that are. A server may
// refuse one: it has committed then, or not.
var commitStatements = []string{
	// Definitions.
	"ALTER DATABASE other COMMENT 'x'", "ALTER EVENT e DISABLE", "ALTER FUNCTION f COMMENT 'x'", "ALTER PROCEDURE p COMMENT 'x'",
	"ALTER SERVER srv OPTIONS (USER 'x')", "ALTER TABLE other COMMENT 'x'", "ALTER VIEW v AS SELECT 2", "ALTER ONLINE TABLE other COMMENT 'y'",
	"ALTER SEQUENCE seq RESTART", "ALTER TABLE temp COMMENT 'x'", "ALTER IGNORE TABLE other COMMENT 'z'",
	"CREATE DATABASE made", "CREATE EVENT made ON SCHEDULE EVERY 1 DAY DO SELECT 1", "CREATE FUNCTION made() RETURNS int RETURN 1",
	"CREATE AGGREGATE FUNCTION made(x int) RETURNS int BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN 1; LOOP FETCH GROUP NEXT ROW; END LOOP; END", "CREATE DEFINER = CURRENT_USER VIEW made AS SELECT 1",
	"CREATE INDEX made ON other (id)", "CREATE UNIQUE INDEX made ON other (id)", "CREATE INDEX made ON temp (id)",
	"CREATE PROCEDURE made() SELECT 1", "CREATE ROLE made", "CREATE SERVER made FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
	"CREATE TABLE made (id int)", "CREATE OR REPLACE TABLE made (id int)", "CREATE TRIGGER made BEFORE INSERT ON other FOR EACH ROW SET @a = 1",
	"CREATE VIEW made AS SELECT 1", "CREATE OR REPLACE VIEW made AS SELECT 1", "CREATE ALGORITHM = MERGE VIEW made AS SELECT 1",
	"CREATE SEQUENCE made", "CREATE TABLE IF NOT EXISTS other (id int)",
	"DROP DATABASE gone", "DROP EVENT e", "DROP FUNCTION f", "DROP INDEX i ON other", "DROP PROCEDURE p", "DROP ROLE r", "DROP SERVER srv",
	"DROP TABLE other", "DROP TABLE IF EXISTS other", "DROP TRIGGER trg", "DROP VIEW v", "DROP SEQUENCE seq", "DROP TABLE temp",
	"RENAME TABLE other TO others", "TRUNCATE other", "TRUNCATE TABLE other", "INSTALL PLUGIN nothing SONAME 'nothing'", "INSTALL SONAME 'nothing'",
	"UNINSTALL PLUGIN nothing", "UNINSTALL SONAME 'nothing'",
	// For the connection alone.
	"CREATE TEMPORARY TABLE made (id int)", "CREATE OR REPLACE TEMPORARY TABLE made (id int)", "DROP TEMPORARY TABLE temp",
	"DROP TEMPORARY TABLE IF EXISTS temp", "CREATE TEMPORARY SEQUENCE made", "DROP TEMPORARY SEQUENCE IF EXISTS seq",
	"DEALLOCATE PREPARE stmt", "DROP PREPARE stmt", "PREPARE other FROM 'SELECT 1'", "SET @@session.sort_buffer_size = 262144",
	// Users.
	"ALTER USER u PASSWORD EXPIRE", "CREATE USER made", "DROP USER u", "GRANT SELECT ON *.* TO u", "GRANT r TO u", "RENAME USER u TO w",
	"REVOKE SELECT ON *.* FROM u", "REVOKE ALL PRIVILEGES, GRANT OPTION FROM u", "SET PASSWORD FOR u = PASSWORD('x')",
	"SET ROLE NONE", "SET DEFAULT ROLE NONE", "SET DEFAULT ROLE r FOR root@localhost",
	// Transactions.
	"BEGIN", "BEGIN WORK", "START TRANSACTION", "START TRANSACTION READ ONLY", "COMMIT", "COMMIT WORK", "COMMIT AND CHAIN", "LOCK TABLES other READ",
	"LOCK TABLE other WRITE", "UNLOCK TABLES", "SAVEPOINT a", "ROLLBACK TO keep", "RELEASE SAVEPOINT keep",
	"SET autocommit = 0", "SET autocommit = OFF", "SET @autocommit = 1", "SET @a = 1, @autocommit := 1", "SET @old = @@autocommit", "SET GLOBAL autocommit = 1", "SET @@global.autocommit = 1",
	"SET @autocommit = 1, @@autocommit = 0", "SET TRANSACTION READ ONLY", "SET GLOBAL TRANSACTION READ WRITE", "SET SESSION TRANSACTION READ WRITE", "XA RECOVER",
	// Administration.
	"ANALYZE TABLE other", "ANALYZE LOCAL TABLE other", "ANALYZE NO_WRITE_TO_BINLOG TABLE other", "ANALYZE TABLE other PERSISTENT FOR ALL",
	"ANALYZE SELECT 1", "ANALYZE FORMAT=JSON SELECT 1", "CACHE INDEX mi IN keys1", "CACHE INDEX mi IN default", "CHECK TABLE other", "CHECK VIEW v", "CHECKSUM TABLE other",
	"FLUSH TABLES", "FLUSH LOCAL TABLES", "FLUSH PRIVILEGES", "FLUSH STATUS", "FLUSH LOGS", "FLUSH HOSTS", "FLUSH BINARY LOGS", "FLUSH TABLES other WITH READ LOCK", "FLUSH TABLES WITH READ LOCK",
	"LOAD INDEX INTO CACHE mi", "LOAD INDEX INTO CACHE mi IGNORE LEAVES", "LOAD INDEX INTO CACHE other", "LOAD DATA INFILE '/nothing' INTO TABLE other", "LOAD XML INFILE '/nothing' INTO TABLE other",
	"OPTIMIZE TABLE other", "OPTIMIZE LOCAL TABLE other", "REPAIR TABLE mi", "REPAIR VIEW v", "RESET QUERY CACHE", "RESET MASTER", "RESET SLAVE", "RESET REPLICA",
	"PURGE BINARY LOGS BEFORE '2000-01-01'", "KILL QUERY 4294967295", "HELP 'x'", "SHOW TABLES", "BINLOG 'x'", "BACKUP STAGE START", "BACKUP LOCK other", "BACKUP UNLOCK",
	// Replication.
	"CHANGE MASTER TO MASTER_HOST = 'h'", "CHANGE MASTER 'x' TO MASTER_HOST = 'h'", "START SLAVE", "START REPLICA", "START ALL SLAVES", "STOP SLAVE", "STOP REPLICA", "STOP ALL SLAVES",
	// What is only called so.
	"BEGIN NOT ATOMIC SELECT CASE WHEN 1 THEN start ELSE commit END FROM words; END",
	"BEGIN NOT ATOMIC SELECT CASE start WHEN 1 THEN rollback WHEN 2 THEN truncate + 1 ELSE (flush) END FROM words; END",
	"BEGIN NOT ATOMIC SET @a = CASE WHEN 1 THEN (SELECT reset FROM words LIMIT 1) ELSE begin END; END",
	"BEGIN NOT ATOMIC DECLARE start, commit int; SET start = 1; SELECT begin, commit, xa FROM words; END",

	"IF 1 THEN SELECT CASE WHEN 1 THEN stop ELSE cache END FROM words; END IF", "IF 1 THEN SELECT 1; ELSE SELECT begin FROM words; END IF",
	"CASE 1 WHEN 1 THEN SELECT start FROM words; END CASE", "REPEAT SELECT `commit` FROM words; UNTIL 1 END REPEAT",
	"BEGIN NOT ATOMIC SELECT CASE WHEN 0 THEN begin WHEN 1 THEN backup END, install, `begin` FROM words; END",
	"SELECT start, commit, begin FROM words", "UPDATE words SET start = 1, commit = 2", "SELECT CASE WHEN 1 THEN start ELSE commit END FROM words",
	// And what is.
	"BEGIN NOT ATOMIC COMMIT; END", "IF 1 THEN COMMIT; END IF", "IF 0 THEN SELECT 1; ELSE START TRANSACTION; END IF", "CASE 1 WHEN 1 THEN TRUNCATE other; END CASE",
	"BEGIN NOT ATOMIC CASE 1 WHEN 1 THEN FLUSH TABLES; END CASE; END", "BEGIN NOT ATOMIC IF 1 THEN COMMIT AND CHAIN; END IF; END",
	"BEGIN NOT ATOMIC WHILE (SELECT COUNT(*) FROM words) > 0 DO COMMIT; DELETE FROM words; END WHILE; END", "REPEAT COMMIT WORK; UNTIL 1 END REPEAT",
	"SET STATEMENT max_statement_time = 1 FOR CREATE TABLE made (id int)", "SET STATEMENT max_statement_time = 1 FOR SELECT 1", "/*! COMMIT */", "/*M! ALTER TABLE other COMMENT 'x' */",
}

// cautious begin what commits elsewhere, or under conditions that this server
// does not meet: on MySQL, or where replication is set up.
var cautious = regexp.MustCompile(`^(CACHE INDEX|LOAD INDEX|CHANGE MASTER|START (SLAVE|REPLICA|ALL)|STOP (SLAVE|REPLICA|ALL))`)

// errSyntax is the number of an error in the text.
const errSyntax = 1064

// TestImplicitCommits asks the server what each statement does.
func TestImplicitCommits(t *testing.T) {
	t.Parallel()
	server := dbtest.StartMariaDB(t)
	u := parse(t, server.URL())
	run(t, open(t, u, driver.Options{ConnectTimeout: 5 * time.Second}), "CREATE DATABASE work")
	u.Database = "work"
	for _, text := range commitStatements {
		db := open(t, u, driver.Options{ConnectTimeout: 5 * time.Second})
		run(t, db, "CREATE OR REPLACE TABLE other (id int, KEY i (id))", "CREATE OR REPLACE TABLE mi (id int) ENGINE MyISAM", "CREATE OR REPLACE TABLE kept (id int)",
			"CREATE OR REPLACE TABLE words (start int, `commit` int, `rollback` int, `truncate` int, `flush` int, `reset` int, `begin` int, xa int, stop int, `cache` int, `backup` int, `install` int)",
			"INSERT INTO words (start) VALUES (1)", "CREATE DATABASE IF NOT EXISTS gone", "CREATE DATABASE IF NOT EXISTS other", "CREATE OR REPLACE VIEW v AS SELECT 1",
			"CREATE OR REPLACE FUNCTION f() RETURNS int RETURN 1", "CREATE OR REPLACE PROCEDURE p() SELECT 1", "CREATE OR REPLACE ROLE r", "CREATE OR REPLACE USER u", "CREATE OR REPLACE SEQUENCE seq",
			"CREATE OR REPLACE TRIGGER trg BEFORE INSERT ON mi FOR EACH ROW SET @a = 1", "CREATE OR REPLACE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "DROP TABLE IF EXISTS made, others",
			"CREATE OR REPLACE SERVER srv FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')")
		c := pinned(t, db)
		run(t, c, "CREATE TEMPORARY TABLE temp (id int)", "PREPARE stmt FROM 'SELECT 1'", "BEGIN", "INSERT INTO kept VALUES (1)", "SAVEPOINT keep")
		_, err := c.ExecContext(t.Context(), text)
		var refused *gomysql.MySQLError
		require.False(t, errors.As(err, &refused) && refused.Number == errSyntax, "%s: %v", text, err)
		_, err = c.ExecContext(t.Context(), "ROLLBACK")
		require.NoError(t, err, text)
		run(t, c, "UNLOCK TABLES", "BACKUP UNLOCK")
		require.NoError(t, c.Close())
		committed := value[int](t, db, "SELECT COUNT(*) FROM kept") == 1
		op, how := sqltext.EndingOf(sqlwords.MySQL, text)
		told := how != sqltext.None
		if cautious.MatchString(text) {
			require.True(t, told, text)
			committed = true
		}
		require.Equal(t, committed, told, "%s: %s %d", text, op, how)
		require.NoError(t, db.Close())
	}
}
