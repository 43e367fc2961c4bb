package echobun_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) {
	if isChild() {
		return
	}
	dbtest.Main(m)
}

// sqliteURL returns the URL of a new SQLite file.
func sqliteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite:///" + filepath.Join(tb.TempDir(), "test.db")
}

// newExtension returns an extension with the models registered, closed when
// the test ends.
func newExtension(tb testing.TB, cfg echobun.Config, models ...any) *echobun.Extension {
	tb.Helper()
	x, err := echobun.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, x.Close()) })
	require.NoError(tb, x.Register(models...))
	return x
}

// newSession returns an app context that ends with the test, and its session.
func newSession(tb testing.TB, x *echobun.Extension) (context.Context, *echobun.Session) {
	tb.Helper()
	ctx, end := x.AppContext(context.WithoutCancel(tb.Context()))
	tb.Cleanup(end)
	s, err := x.Session(ctx)
	require.NoError(tb, err)
	return ctx, s
}

// authModel puts the models that embed it on the bind "auth".
type authModel struct{}

func (authModel) BindKey() string { return "auth" }

// metaModel puts the models that embed it on the bind "meta".
type metaModel struct{}

func (metaModel) BindKey() string { return "meta" }

// threeDatabases is the configuration of the original's example on real
// servers: the default bind on PostgreSQL, "auth" on MariaDB, "meta" on SQLite.
func threeDatabases(tb testing.TB) echobun.Config {
	tb.Helper()
	mariadb := dbtest.MariaDB(tb)
	return echobun.Config{
		DatabaseURI: dbtest.Postgres(tb).URL(),
		Binds: echobun.Binds{
			"auth": {URL: mariadb.URL()},
			"meta": {URL: sqliteURL(tb)},
		},
		AppName: mariadb.Database, // What is prepared there is listed for the whole server.
	}
}

// perDatabase runs a test on an extension whose default bind is on each
// database in turn, as a subtest by the database's name.
func perDatabase(t *testing.T, models []any, run func(t *testing.T, x *echobun.Extension)) {
	t.Helper()
	perDatabaseWith(t, echobun.Config{}, models, run)
}

// perDatabaseWith is perDatabase with more of a configuration.
func perDatabaseWith(t *testing.T, cfg echobun.Config, models []any, run func(t *testing.T, x *echobun.Extension)) {
	t.Helper()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.DatabaseURI = url(t)
			run(t, newExtension(t, cfg, models...))
		})
	}
}

// newSchema is newSession for a database whose tables have been made.
func newSchema(t *testing.T, x *echobun.Extension) (context.Context, *echobun.Session) {
	t.Helper()
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	return ctx, s
}
