package echobuntest_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/echobuntest"
	"github.com/echobun/echobun/internal/dbtest"
)

// Rows keep nothing busy: they are read already.
func TestIsolateRows(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		for i := range 3 {
			require.NoError(t, addItem(t.Context(), x.Engine(), strconv.Itoa(i)))
		}
		rows, err := x.Engine().QueryContext(t.Context(), "SELECT id, name FROM items ORDER BY name")
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		require.NoError(t, addItem(t.Context(), x.Engine(), "meanwhile"))
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.Len(t, types, 2)
		require.NotEmpty(t, types[1].DatabaseTypeName())
		var names []string
		for rows.Next() {
			var id int64
			var name string
			require.NoError(t, rows.Scan(&id, &name))
			names = append(names, name)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []string{"0", "1", "2"}, names)
	})
}

// Arguments go to the driver where Bun does not write them into the text.
func TestIsolateArguments(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		mark := "?"
		if x.kind == "PostgreSQL" {
			mark = "$1"
		}
		add, find := "INSERT INTO items (name) VALUES ("+mark+")", "SELECT id, name FROM items WHERE name = "+mark
		db := x.Engine().DB
		res, err := db.ExecContext(t.Context(), add, "plain")
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		_, err = db.ExecContext(t.Context(), add, "plain")
		require.ErrorIs(t, err, echobun.ErrUnique)
		prepared, err := db.PrepareContext(t.Context(), add)
		require.NoError(t, err)
		defer func() { require.NoError(t, prepared.Close()) }()
		_, err = prepared.ExecContext(t.Context(), "prepared")
		require.NoError(t, err)
		_, err = prepared.ExecContext(t.Context())
		require.Error(t, err)
		for _, name := range []string{"plain", "prepared"} {
			var got Item
			require.NoError(t, db.QueryRowContext(t.Context(), find, name).Scan(&got.ID, &got.Name))
			require.Equal(t, name, got.Name)
		}
		require.ErrorIs(t, db.QueryRowContext(t.Context(), find, "none").Scan(new(int64), new(string)), sql.ErrNoRows)
	})
}

// A query with several results keeps them all.
func TestIsolateResultSets(t *testing.T) {
	t.Parallel()
	url := dbtest.MariaDB(t).URL()
	_, err := open(t, url, "sqlite://").Engine().ExecContext(t.Context(), "CREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT 2 AS b, 3 AS c; END")
	require.NoError(t, err)
	x := isolated(t, "MariaDB", url)
	rows, err := x.Engine().QueryContext(t.Context(), "CALL two()")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var a, b, c int
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&a))
	require.False(t, rows.Next())
	require.True(t, rows.NextResultSet())
	columns, err := rows.Columns()
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, columns)
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&b, &c))
	require.Equal(t, []int{1, 2, 3}, []int{a, b, c})
	for rows.NextResultSet() {
		require.False(t, rows.Next())
	}
	require.NoError(t, rows.Err())
	require.Empty(t, x.tb.end())
}

// The driver's own connection is where it always is.
func TestIsolateUnwrap(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		conn, err := x.Engine().Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		require.NoError(t, conn.Raw(func(dc any) error {
			depth := 0
			for outer, ok := dc.(interface{ Unwrap() driver.Conn }); ok; depth++ {
				dc = outer.Unwrap()
				outer, ok = dc.(interface{ Unwrap() driver.Conn })
			}
			require.Positive(t, depth)
			require.Implements(t, (*driver.Conn)(nil), dc)
			return nil
		}))
	})
}

// A statement is prepared when it is asked for, and may outlive the isolation.
func TestIsolatePrepared(t *testing.T) {
	t.Parallel()
	onKinds(t, func(t *testing.T, x subject) {
		t.Helper()
		db := x.Engine().DB
		requireUnprepared(t, x, "SELECT no FROM such", "such")
		insert, err := db.PrepareContext(t.Context(), "INSERT INTO items (name) VALUES ('prepared')")
		require.NoError(t, err)
		count, err := db.PrepareContext(t.Context(), "SELECT count(*) FROM items WHERE name = 'prepared'")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, errors.Join(insert.Close(), count.Close())) })

		_, err = insert.ExecContext(t.Context())
		require.NoError(t, err)
		_, err = insert.ExecContext(t.Context())
		require.ErrorIs(t, err, echobun.ErrUnique)
		var n int
		require.NoError(t, count.QueryRowContext(t.Context()).Scan(&n))
		require.Equal(t, 1, n)

		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		inTx := tx.StmtContext(t.Context(), count)
		defer func() { require.NoError(t, inTx.Close()) }()
		require.NoError(t, inTx.QueryRowContext(t.Context()).Scan(&n))
		require.NoError(t, tx.Rollback())

		require.Empty(t, x.tb.end())
		require.NoError(t, count.QueryRowContext(t.Context()).Scan(&n))
		require.Zero(t, n)
	})
}

// requireUnprepared asserts that a statement cannot be prepared.
func requireUnprepared(t *testing.T, x subject, query, why string) {
	t.Helper()
	prepared, err := x.Engine().DB.PrepareContext(t.Context(), query)
	if err == nil {
		defer func() { _ = prepared.Close() }()
	}
	require.ErrorContains(t, err, why, query)
}

// What a test sets in its session is seen by all of it, for they share one,
// and by nobody after it.
func TestIsolateSharesTheSession(t *testing.T) { //nolint:tparallel // It looks at what its subtest leaves.
	t.Parallel()
	x, err := echobun.New(echobun.Config{DatabaseURI: dbtest.Postgres(t).URL()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	t.Run("inside", func(t *testing.T) {
		echobuntest.Isolate(t, x)
		_, err := x.Engine().ExecContext(t.Context(), "SET statement_timeout = '7s'")
		require.NoError(t, err)
		require.Equal(t, "7s", shown(t, x))
	})
	require.Equal(t, "0", shown(t, x))
}

func shown(t *testing.T, x *echobun.Extension) (got string) {
	t.Helper()
	require.NoError(t, x.Engine().QueryRowContext(t.Context(), "SHOW statement_timeout").Scan(&got))
	return got
}
