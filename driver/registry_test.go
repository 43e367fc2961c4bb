package driver_test

import (
	sqldriver "database/sql/driver"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// named is a driver that can only be told apart from others.
type named string

func (named) Dialect() schema.Dialect     { return nil }
func (named) Classify(error) driver.Class { return 0 }
func (n named) Connector(*driver.URL, driver.Options) (sqldriver.Connector, error) {
	return nil, errors.New(string(n))
}

// Nothing can be unregistered, so all tests of the registry share one setup.
func TestRegistry(t *testing.T) {
	t.Parallel()

	_, err := driver.Lookup(&driver.URL{Scheme: "mysql"})
	require.EqualError(t, err, `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`)

	driver.Register("postgresql", named("base"))
	driver.Register("postgresql+foo", named("foo"))
	driver.Register("cockroachdb+foo", named("cockroach"))

	found := []struct {
		url  string
		want named
	}{
		{"postgresql://h", "base"},
		{"postgres://h", "base"},
		{"postgresql+pgx://h", "base"},
		{"postgresql+psycopg://h", "base"},
		{"postgresql+psycopg2://h", "base"},
		{"postgresql+psycopg2cffi://h", "base"},
		{"postgresql+psycopg_async://h", "base"},
		{"postgresql+pg8000://h", "base"},
		{"postgres+asyncpg://h", "base"},
		{"postgresql+foo://h", "foo"},
		{"postgres+foo://h", "foo"},
		{"cockroachdb+foo://h", "cockroach"},
	}
	for _, tt := range found {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()

			got, err := driver.Lookup(mustParse(t, tt.url))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}

	const all = "(registered: cockroachdb+foo, postgresql, postgresql+foo)"
	missing := []struct{ url, want string }{
		{"mysql+pymysql://u:s3cr3t@h", `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`},
		{"mariadb://u:s3cr3t@h", `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`},
		{"mysql+asyncmy://u:s3cr3t@h", `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`},
		{"mysql+aiomysql://u:s3cr3t@h", `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`},
		{"mariadb+mariadbconnector://u:s3cr3t@h", `driver: no driver for "mysql": add import _ "github.com/echobun/echobun/driver/mysql"`},
		{"sqlite+pysqlite:///x", `driver: no driver for "sqlite": add import _ "github.com/echobun/echobun/driver/sqlite"`},
		{
			"sqlite+pysqlcipher:///x", // It would not be encrypted.
			`driver: no driver "pysqlcipher" for "sqlite": leave out "+pysqlcipher", or write one of: sqlite, pysqlite, aiosqlite ` + all,
		},
		{"sqlite+aiosqlite:///x", `driver: no driver for "sqlite": add import _ "github.com/echobun/echobun/driver/sqlite"`},
		{
			"postgresql+pymysql://u:s3cr3t@h",
			`driver: no driver "pymysql" for "postgresql": leave out "+pymysql", or write one of: pgx, psycopg, psycopg2, psycopg2cffi, psycopg_async, asyncpg, pg8000 ` + all,
		},
		{"oracle://u:s3cr3t@h", `driver: no driver for "oracle": import a package that registers it ` + all},
		{"oracle+oci://u:s3cr3t@h", `driver: no driver "oci" for "oracle": import a package that registers "oracle+oci" ` + all},
		{"cockroachdb://u:s3cr3t@h", `driver: no driver for "cockroachdb": import a package that registers it ` + all},
	}
	for _, tt := range missing {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()

			got, err := driver.Lookup(mustParse(t, tt.url))
			require.EqualError(t, err, tt.want)
			require.Nil(t, got)
		})
	}

	_, err = driver.Lookup(&driver.URL{Scheme: "postgres", Driver: "foo"}) // Made by hand.
	require.NoError(t, err)

	require.PanicsWithValue(t, `driver: scheme "postgresql" is already registered`, func() { driver.Register("postgresql", named("x")) })
	require.PanicsWithValue(t, `driver: Register of a nil driver for scheme "x"`, func() { driver.Register("x", nil) })
	require.PanicsWithValue(t, `driver: scheme "mariadb" is an alias: register "mysql"`, func() { driver.Register("mariadb+x", named("x")) })
	require.PanicsWithValue(t, `driver: scheme "x+" is malformed: want "dialect" or "dialect+driver"`,
		func() { driver.Register("x+", named("x")) })

	drivers := driver.Drivers()
	require.Len(t, drivers, 3)
	clear(drivers)
	require.Len(t, driver.Drivers(), 3, "the map is the caller's own")
}

func mustParse(t *testing.T, s string) *driver.URL {
	t.Helper()

	u, err := driver.ParseURL(s)
	require.NoError(t, err)
	return u
}
