package sqlite_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun/driver"
)

// TestExplain makes SQLite complain, in its words and in those of triggers.
func TestExplain(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INT NOT NULL CHECK (n <> 'x')) STRICT",
		"CREATE UNIQUE INDEX odd ON t (n + 1)", "INSERT INTO t VALUES (1, 's3cr3t', 1)",
		"CREATE TRIGGER full BEFORE INSERT ON t WHEN NEW.n = 4711 BEGIN SELECT RAISE(ABORT, 'no value for s3cr3t'); END",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for statement, want := range map[string]string{
		"INSERT INTO t VALUES (2, 's3cr3t', 2)":      "constraint failed: UNIQUE constraint failed: t.name (2067)",
		"INSERT INTO t VALUES (1, 's3cr3t2', 2)":     "constraint failed: UNIQUE constraint failed: t.id (1555)",
		"INSERT INTO t VALUES (3, 's3cr3t3', 1)":     "constraint failed: UNIQUE constraint failed: index ? (2067)",
		"INSERT INTO t VALUES (3, 'a', NULL)":        "constraint failed: NOT NULL constraint failed: t.n (1299)",
		"INSERT INTO t VALUES (3, 'a', 's3cr3t')":    "constraint failed: cannot store TEXT value in INT column t.n (3091)",
		"INSERT INTO t VALUES (3, 'a', 4711)":        "constraint failed: raised by a trigger (1811)",
		"SELECT 's3cr3t' FROM nowhere":               "SQL logic error: no such table: nowhere (1)",
		"SELECT nobody, 's3cr3t' FROM t":             "SQL logic error: no such column: nobody (1)",
		"SELECT 1 's3cr3t' 's3cr3t'":                 "SQL logic error: near ?: syntax error (1)",
		"SELECT json_extract('{}', 's3cr3t')":        "SQL logic error: bad JSON path: ? (1)",
		"SELECT json('s3cr3t')":                      "SQL logic error: malformed JSON (1)",
		"SELECT * FROM json_each('{}') WHERE s3('')": "SQL logic error: no such function: s3 (1)",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		var own *modernc.Error
		require.ErrorAs(t, err, &own, statement)
		got, ok := explainer().Explain(own)
		require.True(t, ok)
		require.Equal(t, want, got, "%v", err)
	}
	_, ok := explainer().Explain(errors.New("another"))
	require.False(t, ok)
}

func explainer() driver.Explainer {
	e, _ := driver.Drivers()["sqlite"].(driver.Explainer)
	return e
}
