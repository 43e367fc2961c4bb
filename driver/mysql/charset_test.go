package mysql_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// A text is read, changed and written back by an application whose URL asks for
// the smaller UTF-8, as most Flask applications' do.
func TestSmallUTF8KeepsEmoji(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	plain := open(t, parse(t, server.URL()), driver.Options{})
	run(t, plain, "CREATE TABLE t (text varchar(40)) CHARSET utf8mb4")
	const text = "party 🎉 é"
	for _, parameters := range [][]string{
		{"charset", "utf8"},
		{"charset", "UTF8MB3"},
		{"charset", "none,utf8"},
		{"collation", "utf8_general_ci"},
		{"charset", "utf8", "collation", "utf8mb3_unicode_ci"},
	} {
		run(t, plain, "DELETE FROM t", "INSERT INTO t VALUES ('"+text+"')")
		db := open(t, parse(t, server.URL(), parameters...), driver.Options{})
		read := value[string](t, db, "SELECT text FROM t WHERE text = ?", text)
		require.Equal(t, text, read, parameters)
		_, err := db.ExecContext(t.Context(), "UPDATE t SET text = CONCAT(?, '!')", read)
		require.NoError(t, err)
		require.Equal(t, text+"!", value[string](t, plain, "SELECT text FROM t"), parameters)
	}
}

// The values of go-sql-driver's own tests mean what they mean there.
func TestValuesOfGoSQLDriver(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"sql_notes=false":         "SELECT @@sql_notes = 0",
		"foreign_key_checks=TRUE": "SELECT @@foreign_key_checks = 1",
		"sql_warnings=ON":         "SELECT @@sql_warnings = 1",
		"charset=none,utf8mb4":    "SELECT @@character_set_connection = 'utf8mb4'",
		"maxAllowedPacket=0":      "SELECT 1",
	} {
		parameters, err := url.ParseQuery(query)
		require.NoError(t, err)
		u := parse(t, dbtest.MariaDB(t).URL())
		u.Query = parameters
		require.True(t, value[bool](t, open(t, u, driver.Options{}), want), query)
	}
}

// What does not fit is refused, and nothing is stored.
func TestNothingIsMadeToFit(t *testing.T) {
	t.Parallel()
	lax := dbtest.StartMariaDB(t, "--sql-mode=NO_ENGINE_SUBSTITUTION")
	for name, parameters := range map[string][]string{
		"server's mode": nil,
		"asked for":     {"sql_mode", "DEFAULT"},
		"mode in URL":   {"sql_mode", "NO_ENGINE_SUBSTITUTION"},
		"empty in URL":  {"sql_mode", "''"},
	} {
		db := open(t, parse(t, lax.URL(), parameters...), driver.Options{})
		run(t, db, "CREATE OR REPLACE TABLE t (s varchar(3), n tinyint, d decimal(3,1), at datetime, e enum('a'), y year)",
			"CREATE OR REPLACE TABLE aria (s varchar(3)) ENGINE = Aria")
		for column, v := range map[string]any{"s": "abcd", "n": 128, "d": "100.5", "at": "2024-02-30 00:00:00", "e": "b", "y": 1900} {
			_, err := db.ExecContext(t.Context(), "INSERT INTO t (?) VALUES (?)", bun.Ident(column), v)
			require.Error(t, err, "%s: %s", name, column)
		}
		_, err := db.ExecContext(t.Context(), "INSERT INTO aria VALUES ('abcd')")
		require.Error(t, err, name)
		require.Zero(t, value[int](t, db, "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM aria)"), name)
	}

	db := open(t, parse(t, lax.URL()), driver.Options{})
	run(t, db, "CREATE TABLE dates (d date)")
	_, err := db.ExecContext(t.Context(), "INSERT INTO dates VALUES ('0000-00-00')")
	require.Error(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO dates VALUES (?)", time.Time{})
	require.NoError(t, err, "the zero time is a date")

	asked := open(t, parse(t, lax.URL(), "strict", "false"), driver.Options{})
	run(t, asked, "INSERT INTO t (s) VALUES ('abcd')")
	require.Equal(t, "abc", value[string](t, asked, "SELECT s FROM t"))
}
