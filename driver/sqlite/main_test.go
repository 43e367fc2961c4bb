package sqlite_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/echobun/echobun/driver"
	_ "github.com/echobun/echobun/driver/sqlite"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// lite is the driver under test.
func lite() driver.Driver { return driver.Drivers()["sqlite"] }

// connect reads the URL and returns its connector.
func connect(tb testing.TB, url string, o driver.Options) (sqldriver.Connector, error) {
	tb.Helper()
	u, err := driver.ParseURL(url)
	require.NoError(tb, err)
	return lite().Connector(u, o)
}

// open opens a pool as echobun does.
func open(tb testing.TB, url string) *bun.DB {
	tb.Helper()
	connector, err := connect(tb, url, driver.Options{InstancePath: tb.TempDir()})
	require.NoError(tb, err)
	return openConnector(tb, connector)
}

func openConnector(tb testing.TB, connector sqldriver.Connector) *bun.DB {
	tb.Helper()
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(100)
	pool.SetMaxIdleConns(100)
	db := bun.NewDB(pool, lite().Dialect())
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

// newFile returns the name of a file that does not exist, and its URL.
func newFile(tb testing.TB) (path, url string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "test.db")
	return path, "sqlite:///" + strings.ReplaceAll(path, "%", "%25")
}

// memoryAndFile opens a database in memory, and one in a file.
func memoryAndFile(tb testing.TB) []*bun.DB {
	tb.Helper()
	_, file := newFile(tb)
	return []*bun.DB{open(tb, "sqlite://"), open(tb, file)}
}

func run(tb testing.TB, db bun.IDB, query string) {
	tb.Helper()
	_, err := db.ExecContext(context.Background(), query)
	require.NoError(tb, err)
}

// one returns the only value of a query.
func one[T any](tb testing.TB, db bun.IDB, query string) T {
	tb.Helper()
	var v T
	require.NoError(tb, db.QueryRowContext(context.Background(), query).Scan(&v))
	return v
}
