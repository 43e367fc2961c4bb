package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// occupy takes n connections of an engine until the function that it returns
// is called.
func occupy(tb testing.TB, db *bun.DB, n int) (free func()) {
	tb.Helper()
	conns := make([]bun.Conn, n)
	for i := range conns {
		conn, err := db.Conn(context.Background())
		require.NoError(tb, err)
		conns[i] = conn
	}
	return sync.OnceFunc(func() {
		for _, conn := range conns {
			if err := conn.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
}

// waits are the ways to ask a pool for a connection.
func waits(s *echobun.Session) map[string]func(ctx context.Context) error {
	idb := s.Bind("auth")
	return map[string]func(ctx context.Context) error{
		"Exec": func(ctx context.Context) error { _, err := idb.ExecContext(ctx, "SELECT 1"); return err },
		"Query": func(ctx context.Context) error {
			rows, err := idb.QueryContext(ctx, "SELECT 1")
			return closeRows(rows, err)
		},
		"QueryRow": func(ctx context.Context) error { return idb.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) },
		"Select":   func(ctx context.Context) error { return idb.NewSelect().ColumnExpr("1").Scan(ctx, new(int)) },
		"BeginTx": func(ctx context.Context) error {
			tx, err := idb.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"RunInTx": func(ctx context.Context) error {
			return idb.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return nil })
		},
	}
}

// requirePoolTimeout requires that err is of a full pool and says how to help it.
func requirePoolTimeout(t *testing.T, err error, size string) {
	t.Helper()
	require.ErrorIs(t, err, echobun.ErrPoolTimeout)
	require.ErrorContains(t, err, `bind "auth": `)
	require.ErrorContains(t, err, "all "+size+" connections of the pool were in use: raise MaxOpenConns or PoolTimeout")
	var bind *echobun.BindError
	require.ErrorAs(t, err, &bind)
	require.Equal(t, "auth", bind.Bind)
	require.NotErrorIs(t, err, echobun.ErrUnavailable)
	require.NotErrorIs(t, err, context.Canceled)
}

// requireIdle requires that on "auth" nothing holds a connection, waits for one or is
// counted as if it did.
func requireIdle(t *testing.T, x *echobun.Extension) {
	t.Helper()
	require.Eventually(t, func() bool {
		return x.Engines()["auth"].Stats().InUse == 0 && x.PoolCounters("auth") == [3]int64{}
	}, 10*time.Second, time.Millisecond, "%v", x.PoolCounters("auth"))
}

func TestPoolTimeout(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{MaxOpenConns: 2, PoolTimeout: 60 * time.Millisecond}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		free := occupy(t, x.Engines()["auth"], 2)
		for way, wait := range waits(s) {
			start := time.Now()
			err := wait(ctx)
			waited := time.Since(start)
			requirePoolTimeout(t, err, "2")
			require.NotErrorIs(t, err, context.DeadlineExceeded, way)
			require.GreaterOrEqual(t, waited, 60*time.Millisecond, way)
			require.Less(t, waited, 5*time.Second, way)
			require.Equal(t, [3]int64{}, x.PoolCounters("auth"), way)
		}
		require.Equal(t, 2, x.Engines()["auth"].Stats().InUse)

		free()
		for way, wait := range waits(s) {
			require.NoError(t, wait(ctx), "%s with a free connection", way)
		}
		requireIdle(t, x)
	})
}

// The caller's own deadline ends the wait too, and is told as what it is: both.
func TestPoolWaitDeadline(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t), MaxOpenConns: 1}}})
	ctx, s := newSession(t, x)
	free := occupy(t, x.Engines()["auth"], 1)
	defer free()
	errGone := errors.New("gone")
	for _, tt := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
	}{
		{"Deadline", func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 20*time.Millisecond) }},
		{"Cause", func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 20*time.Millisecond, errGone)
		}},
	} {
		for way, wait := range waits(s) {
			short, cancel := tt.ctx()
			err := wait(short)
			cancel()
			requirePoolTimeout(t, err, "1")
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s %s", tt.name, way)
		}
	}
	free()
	requireIdle(t, x)
}

// One who gives up has not waited too long.
func TestPoolWaitCancelled(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t), MaxOpenConns: 1}}})
	ctx, s := newSession(t, x)
	free := occupy(t, x.Engines()["auth"], 1)
	defer free()
	for way, wait := range waits(s) {
		short, cancel := context.WithCancel(ctx)
		time.AfterFunc(20*time.Millisecond, cancel)
		err := wait(short)
		require.ErrorIs(t, err, context.Canceled, way)
		require.NotErrorIs(t, err, echobun.ErrPoolTimeout, way)
		require.NotErrorIs(t, err, context.DeadlineExceeded, way)
		require.ErrorContains(t, err, `bind "auth": `)
	}
	free()
	requireIdle(t, x)
}

// A connection that is freed in time is used, and the time limit was that of
// the wait and not that of the work.
func TestPoolFreedInTime(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t), MaxOpenConns: 1, PoolTimeout: time.Second}}})
	ctx, s := newSession(t, x)
	for way, wait := range waits(s) {
		free := occupy(t, x.Engines()["auth"], 1)
		time.AfterFunc(20*time.Millisecond, free)
		require.NoError(t, wait(ctx), way)
		requireIdle(t, x)
	}

	free := occupy(t, x.Engines()["auth"], 1)
	time.AfterFunc(20*time.Millisecond, free)
	err := s.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		time.Sleep(1200 * time.Millisecond)
		_, err := tx.ExecContext(ctx, "SELECT 1")
		return err
	})
	require.NoError(t, err, "a transaction outlasts the limit of the wait before it")

	free = occupy(t, x.Engines()["auth"], 1)
	time.AfterFunc(20*time.Millisecond, free)
	rows, err := s.Bind("auth").QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
	require.NoError(t, err)
	defer rows.Close()
	time.Sleep(1200 * time.Millisecond)
	runtime.GC() // What the rows live on must not be collected.
	n := 0
	for rows.Next() {
		n++
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 2, n, "and so do rows")
	requireIdle(t, x)
}

// Open rows and transactions hold a connection, and are seen to.
func TestPoolHeldByRowsAndTransactions(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{MaxOpenConns: 2, PoolTimeout: 50 * time.Millisecond}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		rows, err := s.Bind("auth").QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		require.NoError(t, rows.Err())
		tx, err := s.Bind("auth").BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)

		_, err = s.Bind("auth").ExecContext(ctx, "SELECT 1")
		requirePoolTimeout(t, err, "2")
		require.NoError(t, rows.Close())
		_, err = s.Bind("auth").ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)

		inTx, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		require.NoError(t, err)
		defer inTx.Close()
		require.True(t, inTx.Next())
		_, err = s.Bind("auth").ExecContext(ctx, "SELECT 1")
		require.NoError(t, err, "rows of a transaction take no second connection")
		require.NoError(t, inTx.Close())
		require.NoError(t, inTx.Err())
		require.NoError(t, tx.Rollback())
		requireIdle(t, x)
	})
}

func TestPoolWithoutTimeout(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]echobun.EngineOptions{
		"ForEver": {MaxOpenConns: 1, PoolTimeout: -1},
		"NoSize":  {MaxOpenConns: -1, PoolTimeout: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts.URL = sqliteURL(t)
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": opts}})
			ctx, s := newSession(t, x)
			free := occupy(t, x.Engines()["auth"], 1)
			time.AfterFunc(100*time.Millisecond, free)
			for way, wait := range waits(s) {
				require.NoError(t, wait(ctx), way)
			}
			requireIdle(t, x)
		})
	}
}

// CreateAll asks the same pool.
func TestPoolTimeoutOfCreateAll(t *testing.T) {
	t.Parallel()
	table := keyed("entries")
	table.BindKey = "auth"
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{
		"auth": {URL: sqliteURL(t), MaxOpenConns: 1, PoolTimeout: 50 * time.Millisecond},
	}}, table)
	ctx, _ := newSession(t, x)
	free := occupy(t, x.Engines()["auth"], 1)
	requirePoolTimeout(t, x.CreateAll(ctx), "1")
	free()
	require.NoError(t, x.CreateAll(ctx))
	requireIdle(t, x)
}

// The engine's own builders wait no longer than sessions. Inside a transaction
// that has the pool's last connection they are told so.
func TestPoolOfTheEngine(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{MaxOpenConns: 1, PoolTimeout: 50 * time.Millisecond}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		db := x.Engines()["auth"]
		ways := map[string]func(ctx context.Context) error{
			"Exec": func(ctx context.Context) error { _, err := db.NewRaw("SELECT 1").Exec(ctx); return err },
			"Scan": func(ctx context.Context) error { return db.NewSelect().ColumnExpr("1").Scan(ctx, new(int)) },
			"Rows": func(ctx context.Context) error {
				rows, err := db.NewSelect().ColumnExpr("1").Rows(ctx)
				return closeRows(rows, err)
			},
			"Count": func(ctx context.Context) error {
				_, err := db.NewSelect().TableExpr("(SELECT 1) AS t").Count(ctx)
				return err
			},
		}
		free := occupy(t, db, 1)
		for way, wait := range ways {
			err := wait(ctx)
			requirePoolTimeout(t, err, "1")
			require.NotErrorIs(t, err, context.DeadlineExceeded, way)
			require.NotContains(t, err.Error(), "transaction that this was sent from", way)
		}
		free()

		for way, wait := range ways {
			require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				require.NoError(t, wait(ctx), "%s before the transaction has the connection", way)
				_, err := tx.Bind("auth").ExecContext(ctx, "SELECT 1")
				require.NoError(t, err)
				err = wait(ctx)
				requirePoolTimeout(t, err, "1")
				require.ErrorContains(t, err, "the transaction that this was sent from holds one of them: use its session", way)
				_, err = tx.Bind("auth").ExecContext(ctx, "SELECT 1")
				require.NoError(t, err, "the transaction goes on")
				return nil
			}))
		}
		requireIdle(t, x)
	})
}
