package pgx_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	_ "github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/dbtest"
)

const (
	waitFor = 20 * time.Second
	tick    = 10 * time.Millisecond
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// pgxDriver returns the driver as an application gets it.
func pgxDriver(tb testing.TB) driver.Driver {
	tb.Helper()
	d := driver.Drivers()["postgresql"]
	require.NotNil(tb, d)
	return d
}

// connect returns a connector for a URL with more parameters.
func connector(tb testing.TB, rawURL, query string, o driver.Options) (sqldriver.Connector, error) {
	tb.Helper()
	if query != "" {
		rawURL += "?" + query
	}
	u, err := driver.ParseURL(rawURL)
	require.NoError(tb, err)
	return pgxDriver(tb).Connector(u, o)
}

// open opens a pool with the settings of echobun's own.
func open(tb testing.TB, rawURL, query string) *bun.DB {
	tb.Helper()
	c, err := connector(tb, rawURL, query, driver.Options{ConnectTimeout: 10 * time.Second})
	require.NoError(tb, err)
	return openConnector(tb, c)
}

func openConnector(tb testing.TB, c sqldriver.Connector) *bun.DB {
	tb.Helper()
	pool := sql.OpenDB(c)
	pool.SetMaxOpenConns(15)
	pool.SetMaxIdleConns(15)
	db := bun.NewDB(pool, pgxDriver(tb).Dialect())
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

// exec runs statements that have to succeed.
func exec(tb testing.TB, db bun.IDB, statements ...string) {
	tb.Helper()
	for _, q := range statements {
		_, err := db.ExecContext(tb.Context(), q)
		require.NoError(tb, err, q)
	}
}

// count returns the number of rows of a table.
func count(tb testing.TB, db bun.IDB, table string) int {
	tb.Helper()
	var n int
	require.NoError(tb, db.NewSelect().Table(table).ColumnExpr("count(*)").Scan(tb.Context(), &n))
	return n
}

// backend returns the process that serves a connection.
func backend(ctx context.Context, tb testing.TB, db bun.IDB) int {
	tb.Helper()
	var pid int
	require.NoError(tb, db.NewRaw("SELECT pg_backend_pid()").Scan(ctx, &pid))
	return pid
}

// withPassword gives a URL a password.
func withPassword(u *driver.URL, password string) *driver.URL {
	u.SetPassword(password)
	return u
}
