package sqlite_test

import (
	"context"
	sqldriver "database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/sqlite"
)

// TestRawBeginDoesNotPoisonThePool: the next borrower's write would be part of
// a transaction that nobody commits.
func TestRawBeginDoesNotPoisonThePool(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, begin := range []string{"BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT a", "BEGIN; INSERT INTO x VALUES (0)", "SELECT 1; BEGIN"} {
		for _, url := range []string{file, "sqlite://"} {
			db := open(t, url)
			db.SetMaxOpenConns(1)
			run(t, db, "CREATE TABLE IF NOT EXISTS x (id INTEGER)")
			run(t, db, "DELETE FROM x")

			run(t, db, begin) // On the pool.
			run(t, db, "INSERT INTO x VALUES (1)")

			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			run(t, conn, begin)
			run(t, conn, "INSERT INTO x VALUES (2)")
			require.NoError(t, conn.Close())
			run(t, db, "INSERT INTO x VALUES (3)")

			// The test looks with a connection of its own.
			db.SetMaxOpenConns(10)
			conn, err = db.Conn(t.Context())
			require.NoError(t, err)
			other, err := db.Conn(t.Context())
			require.NoError(t, err)
			var ids []int
			require.NoError(t, other.NewRaw("SELECT id FROM x ORDER BY id").Scan(t.Context(), &ids))
			require.Equal(t, []int{1, 3}, ids, begin)
			require.NoError(t, conn.Close())
			require.NoError(t, other.Close())
		}
	}
}

// TestRawTransaction drives a transaction by statements on one connection.
func TestRawTransaction(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url+"?busy_timeout=100")
	run(t, db, "CREATE TABLE x (id INTEGER)")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	locked := func() bool {
		_, err := db.ExecContext(t.Context(), "INSERT INTO x VALUES (0)")
		if err == nil {
			return false
		}
		require.ErrorContains(t, err, "other writers of this process")
		return true
	}
	for _, tt := range []struct {
		query  string
		locked bool // Afterwards.
	}{
		{"BEGIN IMMEDIATE", true},
		{"INSERT INTO x VALUES (1)", true},
		{"COMMIT", false},
		{"BEGIN", false},
		{"SELECT 1", false},
		{"INSERT INTO x VALUES (2)", true},
		{"SAVEPOINT a", true},
		{"RELEASE a", true},
		{"ROLLBACK", false},
		{"SAVEPOINT a", false},
		{"INSERT INTO x VALUES (3)", true},
		{"SAVEPOINT b", true},
		{"ROLLBACK TO b", true},
		{"RELEASE b", true},
		{"RELEASE a", false},
		{"BEGIN; INSERT INTO x VALUES (4); COMMIT", false},
		{"BEGIN; INSERT INTO x VALUES (5)", true},
		{"END", false},
		{"BEGIN IMMEDIATE", true},
	} {
		run(t, conn, tt.query)
		require.Equal(t, tt.locked, locked(), tt.query)
	}
	_, err = conn.BeginTx(t.Context(), nil)
	require.ErrorContains(t, err, "within a transaction")
	require.True(t, locked())
	run(t, conn, "ROLLBACK")
	require.False(t, locked())

	var ids []int
	require.NoError(t, db.NewRaw("SELECT id FROM x WHERE id > 0 ORDER BY id").Scan(t.Context(), &ids))
	require.Equal(t, []int{1, 3, 4, 5}, ids)
}

// TestTransactionEndedByAStatement must not go on without a transaction.
func TestTransactionEndedByAStatement(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	run(t, db, "CREATE TABLE x (id INTEGER)")
	for _, end := range []string{
		"COMMIT", "ROLLBACK", "END; SELECT 1", "SELECT 1; COMMIT; BEGIN", "SELECT 1; ROLLBACK; BEGIN IMMEDIATE", "END; BEGIN; SELECT 1",
	} {
		err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			run(t, tx, "SAVEPOINT a")
			run(t, tx, "RELEASE a")
			run(t, tx, end)
			_, err := tx.ExecContext(ctx, "INSERT INTO x VALUES (1)")
			return err
		})
		require.ErrorContains(t, err, "ended by a COMMIT or ROLLBACK of its own")
	}
	require.Zero(t, one[int](t, db, "SELECT count(*) FROM x"))
}

func TestPreparedStatements(t *testing.T) {
	t.Parallel()
	_, file := newFile(t)
	for _, url := range []string{file, "sqlite://"} {
		db := open(t, url)
		run(t, db, "CREATE TABLE x (id INTEGER)")
		insert, err := db.PrepareContext(t.Context(), "INSERT INTO x VALUES (?)")
		require.NoError(t, err)
		for i := range 3 {
			_, err := insert.ExecContext(t.Context(), i)
			require.NoError(t, err)
		}
		require.NoError(t, insert.Close())

		require.Equal(t, []int{0, 2, 4}, sums(t, db))
	}
}

// sums runs one statement again while its rows are open.
func sums(t *testing.T, db *bun.DB) []int {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Commit()) }()
	query, err := tx.PrepareContext(t.Context(), "SELECT id FROM x WHERE id >= ? ORDER BY id")
	require.NoError(t, err)
	defer func() { require.NoError(t, query.Close()) }()
	rows, err := query.QueryContext(t.Context(), 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var list []int
	for rows.Next() {
		var id, inner int
		require.NoError(t, rows.Scan(&id))
		require.NoError(t, query.QueryRowContext(t.Context(), id).Scan(&inner))
		list = append(list, id+inner)
	}
	require.NoError(t, rows.Err())
	return list
}

// TestOldInterfaces calls what database/sql calls only where the newer form is
// missing.
func TestOldInterfaces(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite://?_pragma=cache_size(-100)")
	require.NoError(t, db.PingContext(t.Context()))
	require.NotNil(t, db.Driver())
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Raw(func(driverConn any) error {
		dc, ok := driverConn.(interface {
			sqldriver.Conn
			Unwrap() sqldriver.Conn
		})
		require.True(t, ok)
		require.Implements(t, (*modernc.HookRegisterer)(nil), dc.Unwrap())

		tx, err := dc.Begin()
		require.NoError(t, err)
		s, err := dc.Prepare("SELECT ?")
		require.NoError(t, err)
		_, err = s.Exec([]sqldriver.Value{"a"}) //nolint:staticcheck // It must work as long as it is there.
		require.NoError(t, err)
		rows, err := s.Query([]sqldriver.Value{"a"}) //nolint:staticcheck // It must work as long as it is there.
		require.NoError(t, err)
		row := make([]sqldriver.Value, 1)
		require.NoError(t, rows.Next(row))
		require.Equal(t, "a", row[0])
		require.NoError(t, rows.Close())
		require.NoError(t, s.Close())
		return tx.Commit()
	}))
}

// TestHandle fails when modernc.org/sqlite keeps its handle elsewhere: then
// the tests of interrupted queries fail too, and handleOf has to follow.
func TestHandle(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	conn, err := open(t, url).Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.NoError(t, conn.Raw(func(dc any) error {
		require.True(t, sqlite.HasHandle(dc))
		return nil
	}))
}

// strange is a connection of another version.
type strange struct {
	sqldriver.Conn

	db string
}

func TestWithoutHandle(t *testing.T) {
	t.Parallel()
	require.False(t, sqlite.HandleOf(strange{db: "here"}))
	require.False(t, sqlite.HandleOf(nil))
}

// TestDoomedWithoutHandle shows what is left then.
func TestDoomedWithoutHandle(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	db.SetMaxOpenConns(1)
	run(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(dc any) error {
		sqlite.DropHandle(dc)
		return nil
	}))
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	interrupted(t, tx)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO x (n) VALUES (-2)")
	require.Equal(t, driver.DoomsTx, lite().Classify(err))
	require.NoError(t, tx.Rollback())
	run(t, conn, "INSERT INTO x (n) VALUES (1)")
	require.Equal(t, 1, one[int](t, conn, "SELECT count(*) FROM x"))
	require.NoError(t, conn.Close())
}
