package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

func TestReplyOf(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]sqltext.Reply{
		"INSERT INTO t VALUES (1) RETURNING id":                           sqltext.OfWrite,
		"/* who */ insert into t values (1) returning id":                 sqltext.OfWrite,
		"-- who\n update t set a = 1 returning id":                        sqltext.OfWrite,
		"\fDELETE FROM t RETURNING id":                                    sqltext.OfWrite,
		"MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING":       sqltext.OfWrite,
		"REPLACE INTO t VALUES (1) RETURNING id":                          sqltext.OfWrite,
		"CALL p(1)":                                                       sqltext.OfWrite,
		"EXECUTE p(1)":                                                    sqltext.OfWrite,
		"DO $$BEGIN PERFORM f(1); END$$":                                  sqltext.OfWrite,
		"EXPLAIN ANALYZE DELETE FROM t":                                   sqltext.OfWrite,
		"WITH d AS (delete from t returning *) SELECT * FROM d":           sqltext.OfWrite,
		"WITH d AS (SELECT 1) INSERT INTO t SELECT * FROM d RETURNING id": sqltext.OfWrite,
		"SELECT 1; INSERT INTO t VALUES (1) RETURNING id":                 sqltext.OfWrite,
		"SELECT * FROM t":                                                 sqltext.OfRead,
		"SELECT count(*) FROM t":                                          sqltext.OfRead,
		"(SELECT lower(name) FROM t) UNION (SELECT 'a')":                  sqltext.OfRead,
		"SELECT 1":            sqltext.OfRead,
		"SELECT ';', 'f(1)';": sqltext.OfRead,
		"SELECT 1 -- f(1)":    sqltext.OfRead,
		"SELECT a FROM t WHERE (a = 1) AND (b IN (1, 2) OR NOT EXISTS (TABLE u))": sqltext.OfRead,
		"SELECT cast(a AS decimal(10, 2)) FROM t JOIN (SELECT 1) AS u ON (true)":  sqltext.OfRead,
		"WITH a AS (SELECT 1) SELECT * FROM a":                                    sqltext.OfRead,
		`WITH a AS (SELECT 1) SELECT updated_at, "deleted_at" FROM a`:             sqltext.OfRead,
		`WITH a (b) AS (SELECT 1) SELECT * FROM a FOR UPDATE`:                     sqltext.OfRead,
		"WITH a AS (SELECT 1) SELECT replace('a', 'b', 'c') FROM a":               sqltext.OfRead,
		"VALUES (1)":       sqltext.OfRead,
		"TABLE t":          sqltext.OfRead,
		"SHOW TABLES":      sqltext.OfRead,
		"FETCH 100 FROM c": sqltext.OfRead,
		"":                 sqltext.OfRead,
	} {
		for _, d := range []sqlwords.Dialect{sqlwords.Postgres, sqlwords.MySQL, sqlwords.SQLite} {
			require.Equal(t, want, sqltext.ReplyOf(d, query), "%d: %s", d, query)
		}
	}
}

// TestReplyOfFunctions calls some in every way. No function of SQLite's writes.
func TestReplyOfFunctions(t *testing.T) {
	t.Parallel()
	for _, query := range []string{
		"SELECT f(1)",
		"select app.f(1), 2",
		"SELECT f (1)",
		"SELECT f\n(1)",
		"SELECT f/**/(1)",
		"SELECT f -- where\n (1)",
		"SELECT\ff\f(1)",
		"(SELECT f(1))",
		"SELECT (f(1)).id",
		"SELECT DISTINCT f(1)",
		"SELECT ALL f(1)",
		"SELECT lower(f(1))",
		"SELECT app.lower(1)",
		"SELECT a FROM f(1)",
		"SELECT a FROM t, LATERAL f(t.a) AS u",
		"SELECT a FROM t WHERE f(a)",
		"SELECT a FROM t ORDER BY f(a)",
		"SELECT 1 UNION SELECT f(1)",
		"WITH x AS (SELECT 1) SELECT f(1)",
		"WITH x AS (SELECT f(1)) SELECT * FROM x",
		"VALUES (f(1))",
	} {
		for _, d := range []sqlwords.Dialect{sqlwords.Postgres, sqlwords.MySQL} {
			require.Equal(t, sqltext.OfCalls, sqltext.ReplyOf(d, query), "%d: %s", d, query)
		}
		require.Equal(t, sqltext.OfRead, sqltext.ReplyOf(sqlwords.SQLite, query), query)
	}
	for query, d := range map[string]sqlwords.Dialect{
		`SELECT "f"(1)`:                     sqlwords.Postgres,
		`SELECT U&"f"(1)`:                   sqlwords.Postgres,
		`SELECT "lower"(1)`:                 sqlwords.Postgres,
		"SELECT `f`(1)":                     sqlwords.MySQL,
		"# who\nSELECT f(1)":                sqlwords.MySQL,
		"SELECT f # where\n (1)":            sqlwords.MySQL,
		"SELECT f/*!(1)*/":                  sqlwords.MySQL,
		"SELECT /*!50000 f(1)*/":            sqlwords.MySQL,
		"SELECT count (1)":                  sqlwords.MySQL, // With a space it is a stored function.
		"SELECT generate_series(1, 1e7)":    sqlwords.MySQL, // It has none of its own.
		"SELECT group_concat(a) FROM t":     sqlwords.Postgres,
		"SELECT nextval('s'), lo_create(1)": sqlwords.Postgres,
	} {
		require.Equal(t, sqltext.OfCalls, sqltext.ReplyOf(d, query), query)
	}
	require.Equal(t, sqltext.OfRead, sqltext.ReplyOf(sqlwords.Postgres, "SELECT generate_series(1, 1e7)"))
	require.Equal(t, sqltext.OfRead, sqltext.ReplyOf(sqlwords.Postgres, "SELECT count (*) FROM t"))
}
