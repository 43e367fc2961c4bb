package sqltext_test

import (
	"database/sql"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// TestFunctionsOfTheServersOwn asks the servers for what is taken to be theirs:
// another name could be that of an application's function.
func TestFunctionsOfTheServersOwn(t *testing.T) {
	t.Parallel()
	postgres := names(t, "pgx", dbtest.Postgres(t).URL(), "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
	grammar := names(t, "pgx", dbtest.Postgres(t).URL(), "SELECT word FROM pg_get_keywords() WHERE catcode = 'C'")
	words := names(t, "pgx", dbtest.Postgres(t).URL(), "SELECT word FROM pg_get_keywords()")
	s := dbtest.MariaDB(t)
	dsn := s.User + ":" + s.Password + "@tcp(" + s.Addr() + ")/" + s.Database
	maria := names(t, "mysql", dsn, "SELECT lower(function) FROM information_schema.sql_functions")
	mariaWords := names(t, "mysql", dsn, "SELECT lower(word) FROM information_schema.keywords")

	signs, functions := sqltext.Listed(sqlwords.Postgres)
	for _, f := range functions {
		require.True(t, postgres[f] || grammar[f], "PostgreSQL: %s", f)
	}
	for _, w := range signs {
		require.True(t, words[w] || mariaWords[w], w)
	}
	_, functions = sqltext.Listed(sqlwords.MySQL)
	for _, f := range functions {
		require.True(t, maria[f] || mariaWords[f], "MariaDB: %s", f)
	}
}

// names are the words that a query returns.
func names(t *testing.T, driver, dsn, query string) map[string]bool {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	known := make(map[string]bool)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		known[name] = true
	}
	require.NoError(t, rows.Err())
	return known
}
