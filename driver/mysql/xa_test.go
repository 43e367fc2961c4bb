package mysql_test

import (
	"crypto/rand"
	"testing"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
)

// TestPreparedIsToldFromItsConnection finishes a prepared transaction through
// connections that are in others. It is still prepared then.
func TestPreparedIsToldFromItsConnection(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE TABLE notes (v int)")
	tp, ok := ours(t).(driver.TwoPhase)
	require.True(t, ok)
	id := "busy/" + rand.Text()
	conn := pinned(t, db)
	tx, err := conn.BeginTx(driver.WithBranch(t.Context(), &driver.Branch{ID: id, Prepare: true}), nil)
	require.NoError(t, err)
	run(t, tx, "INSERT INTO notes VALUES (1)")
	require.NoError(t, tx.Commit())

	for begin, end := range map[string]string{
		"XA START '" + rand.Text() + "'": "",         // XAER_RMFAIL
		"BEGIN":                          "ROLLBACK", // XAER_OUTSIDE
	} {
		other := pinned(t, db)
		run(t, other, begin)
		err := tp.RollbackPrepared(t.Context(), other, id)
		require.Error(t, err, begin)
		require.NotErrorIs(t, err, driver.ErrNotPrepared, begin)
		require.Zero(t, ours(t).Classify(err), begin)
		ids, err := tp.Prepared(t.Context(), pinned(t, db))
		require.NoError(t, err)
		require.Contains(t, ids, id, begin)
		if end != "" {
			run(t, other, end)
		}
	}
	require.NoError(t, tp.CommitPrepared(t.Context(), conn, id))
	require.ErrorIs(t, tp.CommitPrepared(t.Context(), conn, id), driver.ErrNotPrepared)
	require.Equal(t, 1, value[int](t, db, "SELECT count(*) FROM notes"))
}

// A commit that went wrong on the server when it had begun may be done.
func TestUnclearCommit(t *testing.T) {
	t.Parallel()
	require.True(t, mysql.IsUnclear(&gomysql.MySQLError{Number: 1401}))
	for _, number := range []uint16{1397, 1398, 1399, 1400, 1402, 1440, 1613, 1614} {
		require.False(t, mysql.IsUnclear(&gomysql.MySQLError{Number: number}), number)
	}
}
