package pgx_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/wire"
)

// A stuckScanner does not come back from Scan, as if it had panicked there:
// database/sql then keeps its rows locked.
type stuckScanner chan struct{}

func (s stuckScanner) Scan(any) error { <-s; return nil }

func TestReaderThatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	db, beside, _ := proxied(t, "")
	exec(t, beside, "INSERT INTO writes (n) VALUES (1), (2)")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	exec(t, tx, "UPDATE writes SET n = 5")
	rows, err := tx.QueryContext(ctx, "SELECT n FROM writes") //nolint:sqlclosecheck // It is closed below, unless the test has failed.
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())

	stuck, back := make(stuckScanner), make(chan struct{})
	go func() { defer close(back); _ = rows.Scan(stuck) }()
	start := time.Now()
	exec(t, beside, "UPDATE writes SET n = 0")
	require.Less(t, time.Since(start), 5*time.Second)
	close(stuck)
	<-back
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), context.DeadlineExceeded)
	_ = tx.Rollback()
}

// TestReaderThatComesBackLate finds the rest of the rows in memory, though their
// connection was closed meanwhile. Nobody else gets that.
func TestReaderThatComesBackLate(t *testing.T) {
	t.Parallel()
	_, db, _ := proxied(t, "")
	db.SetMaxOpenConns(1)
	read := func(db bun.IDB) {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := db.QueryContext(ctx, "SELECT generate_series(1, 3)")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		slow := make(slowScanner)
		go func() { <-slow; cancel() }()
		require.NoError(t, rows.Scan(slow))
		_ = rows.Err()
	}
	read(db)
	exec(t, db, "INSERT INTO writes (n) VALUES (1)")

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	exec(t, tx, "INSERT INTO writes (n) VALUES (2)")
	read(tx)
	require.Equal(t, driver.DoomsTx|driver.Unavailable, pgxDriver(t).Classify(tx.Commit()), "the server rolls back")
	require.Equal(t, 1, count(t, db, "writes"))
}

// A slowScanner takes its time, from when it says so.
type slowScanner chan struct{}

func (s slowScanner) Scan(any) error {
	close(s)
	time.Sleep(500 * time.Millisecond)
	return nil
}

// TestBusyWhileTheReaderIsAway sends statements in a transaction whose rows are
// being read, from before their context ends until the connection is closed.
func TestBusyWhileTheReaderIsAway(t *testing.T) {
	t.Parallel()
	_, db, _ := proxied(t, "")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := tx.QueryContext(ctx, "SELECT generate_series(1, 3)") //nolint:sqlclosecheck // The defer below does; the linter loses sight of it behind the goroutine.
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	slow, back := make(slowScanner), make(chan struct{})
	go func() { defer close(back); _ = rows.Scan(slow) }()
	<-slow
	cancel()
	for start := time.Now(); time.Since(start) < 400*time.Millisecond; time.Sleep(time.Millisecond) {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO writes (n) VALUES (1)")
		require.Error(t, err)
	}
	<-back
	_, _ = rows.Err(), rows.Close()
	require.Error(t, tx.Commit())
	require.Zero(t, count(t, db, "writes"))
}

// TestHungConnectionIsClosed has nothing answer in a transaction. The server
// keeps its locks for as long as it has a client, of which pgx makes 15 s.
func TestHungConnectionIsClosed(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	exec(t, beside, "INSERT INTO writes (n) VALUES (1)")
	for _, how := range []string{"statement", "COMMIT", "ROLLBACK"} {
		tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), 500*time.Millisecond), nil)
		require.NoError(t, err)
		exec(t, tx, "UPDATE writes SET n = n + 1")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		switch how {
		case "statement":
			p.Arm(cutproxy.HangRequest, "select 'hang'")
			_, err = tx.ExecContext(ctx, "SELECT 'hang'")
			require.Error(t, err)
		case "COMMIT":
			p.Arm(cutproxy.HangRequest, "commit")
			require.Error(t, tx.Commit())
		case "ROLLBACK":
			p.Arm(cutproxy.HangRequest, "rollback")
			_ = tx.Rollback()
		}
		cancel()
		start := time.Now()
		exec(t, beside, "UPDATE writes SET n = 0")
		require.Less(t, time.Since(start), 2*time.Second, how)
		_ = tx.Rollback()
	}
}
