package dbtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// kind is one kind of server, as these tests use it.
type kind struct {
	name  string
	env   string
	fresh func(testing.TB) *dbtest.Server
	start func(testing.TB, ...string) *dbtest.Server
	conf  string // A setting of start's, and the statement that shows it.
	show  string
	want  string
	query func(ctx context.Context, s *dbtest.Server, addr, q string) (string, error)
}

var kinds = []kind{
	{
		"Postgres", "ECHOBUN_TEST_POSTGRES", dbtest.Postgres, dbtest.StartPostgres,
		"max_connections = 33", "SHOW max_connections", "33", queryPostgres,
	},
	{
		"MariaDB", "ECHOBUN_TEST_MYSQL", dbtest.MariaDB, dbtest.StartMariaDB,
		"--max-connections=33", "SELECT @@max_connections", "33", queryMariaDB,
	},
}

func queryPostgres(ctx context.Context, s *dbtest.Server, addr, q string) (got string, err error) {
	conn, err := pgx.Connect(ctx, s.URLVia(addr))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, q, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&got); err != nil {
			return "", err
		}
	}
	return got, rows.Err()
}

func queryMariaDB(ctx context.Context, s *dbtest.Server, addr, q string) (got string, err error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", addr, s.User, s.Password, s.Database
	cfg.Logger = &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(c)
	defer db.Close()
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&got); err != nil {
			return "", err
		}
	}
	return got, rows.Err()
}

// try runs a statement in s, on a connection of its own.
func (k kind) try(t *testing.T, s *dbtest.Server, q string) (string, error) {
	t.Helper()
	return k.query(t.Context(), s, s.Addr(), q)
}

func (k kind) must(t *testing.T, s *dbtest.Server, q string) string {
	t.Helper()
	got, err := k.try(t, s, q)
	require.NoError(t, err)
	return got
}

func forKinds(t *testing.T, f func(t *testing.T, k kind)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.fresh(t) // Skips here, not somewhere inside, if there is no server.
			f(t, k)
		})
	}
}

func TestFreshDatabases(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		var old string
		t.Run("Use", func(t *testing.T) {
			a, b := k.fresh(t), k.fresh(t)
			require.Equal(t, a.Addr(), b.Addr())
			require.NotEqual(t, a.Database, b.Database)
			k.must(t, a, "CREATE TABLE t (id int)")
			k.must(t, b, "CREATE TABLE t (id int)")
			old = a.Database
		})
		c := k.fresh(t)
		c.Database = old
		_, err := k.try(t, c, "SELECT 1")
		require.ErrorContains(t, err, old, "the database has to be dropped")
	})
}

// A test that leaves a transaction open must not make the end of it hang.
func TestDropUnderOpenTransaction(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		hold, end := context.WithCancel(t.Context())
		left := make(chan struct{})
		t.Run("Use", func(t *testing.T) {
			s := k.fresh(t)
			k.must(t, s, "CREATE TABLE t (id int)")
			go func() {
				defer close(left)
				_, _ = k.query(hold, s, s.Addr(), "SELECT "+map[string]string{
					"Postgres": "pg_sleep(60)::text FROM t UNION SELECT pg_sleep(60)::text",
					"MariaDB":  "SLEEP(60) FROM (SELECT 1) x LEFT JOIN t ON true",
				}[k.name])
			}()
			require.Eventually(t, func() bool { return k.busy(t, s) }, 10*time.Second, 10*time.Millisecond)
		})
		end()
		<-left
	})
}

// busy reports whether another connection runs the long query.
func (k kind) busy(t *testing.T, s *dbtest.Server) bool {
	t.Helper()
	return k.must(t, s, map[string]string{
		"Postgres": "SELECT count(*)::text FROM pg_stat_activity WHERE state='active' AND query LIKE 'SELECT pg_sleep%' AND datname=current_database()",
		"MariaDB":  "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%' AND db=database()",
	}[k.name]) == "1"
}

func TestStopKillStart(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		s := k.start(t, k.conf)
		addr := s.Addr()
		require.Equal(t, k.want, k.must(t, s, k.show))
		k.must(t, s, "CREATE TABLE t (id int)")

		for i, down := range []func(){s.Stop, s.Kill} {
			k.must(t, s, fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
			down()
			_, err := k.try(t, s, "SELECT 1")
			require.ErrorContains(t, err, "refused")
			s.Start()
			require.Equal(t, addr, s.Addr())
			require.Equal(t, strconv.Itoa(i+1), k.must(t, s, "SELECT count(*) FROM t"), "committed rows have to be there")
		}
	})
}

func TestProxyAndSocket(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		s := k.start(t)
		p := cutproxy.New(t, s.Addr())
		got, err := k.query(t.Context(), s, p.Addr(), "SELECT 'x'")
		require.NoError(t, err)
		require.Equal(t, "x", got)
		require.Positive(t, p.Conns())
		_, err = os.Stat(s.Socket())
		require.NoError(t, err)
	})
}

func TestFilesAreRemoved(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		var socket string
		t.Run("Use", func(t *testing.T) { socket = k.start(t).Socket() })
		dir := socket
		if k.name == "MariaDB" {
			dir = filepath.Dir(socket)
		}
		_, err := os.Stat(dir)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestPgBouncer(t *testing.T) {
	t.Parallel()
	upstream := dbtest.Postgres(t)
	s := dbtest.PgBouncer(t, upstream, "max_client_conn = 33")
	require.NotEqual(t, upstream.Port, s.Port)
	got, err := queryPostgres(t.Context(), s, s.Addr(), "SELECT current_database()")
	require.NoError(t, err)
	require.Equal(t, upstream.Database, got)
	s.Stop()
	_, err = queryPostgres(t.Context(), s, s.Addr(), "SELECT 1")
	require.Error(t, err)
	s.Start()
	_, err = queryPostgres(t.Context(), s, s.Addr(), "SELECT 1")
	require.NoError(t, err)
}
