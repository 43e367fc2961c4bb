package mysql_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	_ "github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// ours returns the driver as applications get it.
func ours(tb testing.TB) driver.Driver {
	tb.Helper()
	d, ok := driver.Drivers()["mysql"]
	require.True(tb, ok)
	return d
}

// parse reads a URL and adds parameters to it, a name and a value each.
func parse(tb testing.TB, s string, parameters ...string) *driver.URL {
	tb.Helper()
	u, err := driver.ParseURL(s)
	require.NoError(tb, err)
	for i := 0; i < len(parameters); i += 2 {
		u.Query.Set(parameters[i], parameters[i+1])
	}
	return u
}

// open opens a pool on a URL.
func open(tb testing.TB, u *driver.URL, o driver.Options) *bun.DB {
	tb.Helper()
	c, err := ours(tb).Connector(u, o)
	require.NoError(tb, err)
	db := bun.NewDB(sql.OpenDB(c), ours(tb).Dialect())
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

// fresh opens a pool on a fresh database.
func fresh(tb testing.TB, parameters ...string) *bun.DB {
	tb.Helper()
	return open(tb, parse(tb, dbtest.MariaDB(tb).URL(), parameters...), driver.Options{ConnectTimeout: 5 * time.Second})
}

// run executes statements.
func run(tb testing.TB, db bun.IConn, statements ...string) {
	tb.Helper()
	for _, q := range statements {
		_, err := db.ExecContext(context.WithoutCancel(tb.Context()), q)
		require.NoError(tb, err, q)
	}
}

// value returns the only value of a query.
func value[T any](tb testing.TB, db bun.IConn, query string, args ...any) T {
	tb.Helper()
	var v T
	require.NoError(tb, db.QueryRowContext(tb.Context(), query, args...).Scan(&v), query)
	return v
}

// pinned returns a connection of its own.
func pinned(tb testing.TB, db *bun.DB) bun.Conn {
	tb.Helper()
	c, err := db.Conn(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// unwrapper is what a connection of this package has for those who need
// go-sql-driver's own.
type unwrapper interface{ Unwrap() sqldriver.Conn }

// withPassword gives a URL a password.
func withPassword(u *driver.URL, password string) *driver.URL {
	u.SetPassword(password)
	return u
}
