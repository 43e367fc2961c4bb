package mysql_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"testing"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestFirstWord(t *testing.T) {
	t.Parallel()
	tests := []struct{ query, want string }{
		{"SELECT 1", "select"},
		{" \t\r\n(( Select 1) UNION (select 2))", "select"},
		{"/* comment */ insert into t", "insert"},
		{"/* a */-- b\n# c\n/**/commit", "commit"},
		{"BEGIN", "begin"},
		{"commit;", "commit"},
		{"", ""},
		{"/* open", ""},
		{"-- open", ""},
		{"1", "1"},
		{"ünïcode", "ünïcode"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, mysql.FirstWord(tt.query), tt.query)
	}
}

// With several statements in one, a COMMIT may be among them.
func TestLostMultiStatement(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	proxy := cutproxy.New(t, server.Addr())
	db := open(t, parse(t, server.URLVia(proxy.Addr()), "multiStatements", "true"), driver.Options{})
	run(t, db, createItems)
	for query, want := range map[string]driver.Class{
		"INSERT INTO items (name) VALUES ('marker'); COMMIT": driver.OutcomeUnknown,
		"INSERT INTO items (name) VALUES ('marker')":         driver.Unavailable,
	} {
		tx := begin(t, db)
		proxy.Arm(cutproxy.DropReply, "marker")
		_, err := tx.ExecContext(t.Context(), query)
		require.Equal(t, want, ours(t).Classify(err), query)
	}
}

func TestResultSets(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; SIGNAL SQLSTATE '45000'; END")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := db.QueryContext(ctx, "CALL p()")
	require.NoError(t, err)
	defer rows.Close()
	for want := 1; want <= 2; want++ {
		require.True(t, rows.Next())
		var got int
		require.NoError(t, rows.Scan(&got))
		require.Equal(t, want, got)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.Equal(t, "INT", types[0].DatabaseTypeName())
		require.False(t, rows.Next())
		require.Equal(t, want == 1, rows.NextResultSet())
	}
	var signal *gomysql.MySQLError
	require.ErrorAs(t, rows.Err(), &signal)
}

// endedContext has ended, which shows only after the first look.
type endedContext struct {
	context.Context

	looks int
}

func (c *endedContext) Done() <-chan struct{} { return nil }

func (c *endedContext) Err() error {
	c.looks++
	if c.looks > 1 {
		return context.Canceled
	}
	return nil
}

// Rows that come after the end of their context are thrown away, but not what
// the statement did.
func TestRowsTooLate(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, createItems)
	for query, want := range map[string]driver.Class{
		"SELECT 1": 0,
		"INSERT INTO items (name) VALUES ('x') RETURNING id": driver.OutcomeUnknown,
	} {
		onDriver(t, db, func(c sqldriver.Conn) {
			_, err := queryer(t, c).QueryContext(&endedContext{Context: t.Context()}, query, nil)
			require.ErrorIs(t, err, context.Canceled, query)
			require.Equal(t, want, ours(t).Classify(err), query)
		})
	}
	require.Equal(t, 1, value[int](t, db, "SELECT count(*) FROM items"))
}

// The older half of the driver interface works as well.
func TestOldInterface(t *testing.T) {
	t.Parallel()
	onDriver(t, fresh(t), func(c sqldriver.Conn) {
		tx, err := c.Begin() //nolint:staticcheck // It is what is tested.
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		stmt, err := c.Prepare("SELECT ?")
		require.NoError(t, err)
		require.Equal(t, 1, stmt.NumInput())
		require.NoError(t, stmt.Close())
	})
	c, err := ours(t).Connector(parse(t, "mysql://h"), driver.Options{})
	require.NoError(t, err)
	_, err = c.Driver().Open("mysql://h")
	require.ErrorContains(t, err, "sql.OpenDB")
}

func queryer(tb testing.TB, c sqldriver.Conn) sqldriver.QueryerContext {
	tb.Helper()
	q, ok := c.(sqldriver.QueryerContext)
	require.True(tb, ok)
	return q
}

// onDriver calls do with a connection of this package.
func onDriver(tb testing.TB, db *bun.DB, do func(sqldriver.Conn)) {
	tb.Helper()
	require.NoError(tb, pinned(tb, db).Raw(func(c any) error {
		conn, ok := c.(sqldriver.Conn)
		if !ok {
			return errors.New("no driver.Conn")
		}
		do(conn)
		return nil
	}))
}

// plain opens a pool on go-sql-driver by itself.
func plain(tb testing.TB, server *dbtest.Server) *sql.DB {
	tb.Helper()
	cfg := gomysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", server.Addr(), server.User, server.Password, server.Database
	c, err := gomysql.NewConnector(cfg)
	require.NoError(tb, err)
	db := sql.OpenDB(c)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Watching costs a handful of allocations for a statement, and none for a row.
func TestAllocations(t *testing.T) { //nolint:paralleltest // Allocations of other tests would count.
	server := dbtest.MariaDB(t)
	db, by := open(t, parse(t, server.URL()), driver.Options{}).DB, plain(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	measure := func(db *sql.DB, query string) float64 {
		return testing.AllocsPerRun(50, func() {
			rows, err := db.QueryContext(ctx, query)
			require.NoError(t, err)
			defer rows.Close()
			for rows.Next() {
			}
			require.NoError(t, rows.Err())
		})
	}
	one, many := "SELECT 1", "SELECT seq FROM seq_1_to_1000"
	perStatement := measure(db, one) - measure(by, one)
	require.LessOrEqual(t, perStatement, 8.0)
	require.InDelta(t, perStatement, measure(db, many)-measure(by, many), 2)
	t.Logf("%.0f more allocations for a statement", perStatement)
}

func BenchmarkSelect(b *testing.B) {
	server := dbtest.MariaDB(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for _, bb := range []struct {
		name string
		db   *sql.DB
	}{{"go-sql-driver", plain(b, server)}, {"ours", open(b, parse(b, server.URL()), driver.Options{}).DB}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var n int
				if err := bb.db.QueryRowContext(ctx, "SELECT 1").Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
