package sqlwords_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/sqlwords"
)

// pieces are what text, names and comments begin and end with, and what is in
// them. A number in them is a column.
var pieces = []string{
	"'", "'", `"`, "`", "[", "]", "''", `\`, `\'`, "E'", "U&'", "N'", "x'", "$", "$$", "$a$", "$a$", "--", "-- ", "--\t", "--\x01",
	"--\x7f", "-", "#", "/*", "/*", "*/", "*/", "/*!", "/*M!", "*", "/", "\n", "\n", "\r", "\r", "\r\n", " ", "\t", "\f", "\v",
	"\u00a0", "\ufeff", "\u2028", "a", "$b", "é", ", 3", ", 4", "+", "|", "=", "*/*", "/* */", "2", "'\n'", "'\\'", "*/ 2", ", E'", ", '", ", e'\\'", ", U&'", ", $$",
}

// Fewer of them meet more often.
var (
	constants = []string{"'", "''", ", E'", ", '", "'\n'", `\'`, `\`, ", 3", " ", "\n", "a", "--"}
	comments  = []string{"/*", "*/", "/*!", "*", "--", "#", "\n", "\r", ", 3", " 2", "'"}
)

// TestWordsAsTheServersReadThem asks the servers how many columns there are in
// texts that are put together by chance. One that they take has as many for us.
func TestWordsAsTheServersReadThem(t *testing.T) {
	t.Parallel()
	s := dbtest.MariaDB(t)
	for name, server := range map[string]struct {
		d           sqlwords.Dialect
		driver, dsn string
	}{
		"PostgreSQL": {sqlwords.Postgres, "pgx", simple(t, dbtest.Postgres(t).URL())},
		"MariaDB":    {sqlwords.MySQL, "mysql", s.User + ":" + s.Password + "@tcp(" + s.Addr() + ")/" + s.Database},
		"SQLite":     {sqlwords.SQLite, "sqlite", ":memory:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open(server.driver, server.dsn)
			require.NoError(t, err)
			defer db.Close()
			random, taken := rand.New(rand.NewPCG(1, uint64(server.d))), 0 //nolint:gosec // It is to be the same each time.
			for range 8000 {
				query := chance(random)
				columns, ok := columnsOf(t.Context(), db, query)
				if !ok {
					continue
				}
				taken++
				first, seen := read(server.d, query)
				require.Equal(t, columns, seen, "%q", query)
				require.Equal(t, "SELECT", first, "%q", query)
			}
			require.Greater(t, taken, 300)
		})
	}
}

// simple has a text sent as it is, and not prepared before.
func simple(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	query := u.Query()
	query.Set("default_query_exec_mode", "simple_protocol")
	u.RawQuery = query.Encode()
	return u.String()
}

// read returns the first word of a query, and how many columns it has.
func read(d sqlwords.Dialect, query string) (first string, columns int) {
	s, columns := d.Scan(query), 1
	for word := s.Next(); word != ""; word = s.Next() {
		if first == "" {
			first = word
		}
		if word == "," && !s.Quoted() {
			columns++
		}
	}
	return first, columns
}

// chance makes a text of pieces.
func chance(random *rand.Rand) string {
	var b strings.Builder
	from := [][]string{pieces, constants, comments}[random.IntN(3)]
	for range 1 + random.IntN(8) {
		b.WriteString(from[random.IntN(len(from))])
	}
	switch random.IntN(5) {
	case 0:
		return "SELECT 1 " + b.String() + ", 2"
	case 1:
		return "SELECT 1 " + b.String() + "\n, 2"
	case 2:
		return b.String() + "\nSELECT 1, 2"
	case 3:
		return "SELECT '" + b.String() + "', 2"
	}
	return "SELECT 1 /* " + b.String() + " */, 2"
}

// columnsOf returns how many columns a query has, if the server takes it.
func columnsOf(ctx context.Context, db *sql.DB, query string) (n int, ok bool) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return 0, false
	}
	defer rows.Close()
	columns, err := rows.Columns()
	return len(columns), err == nil && rows.Next() && rows.Err() == nil
}
