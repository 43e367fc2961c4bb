package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// requireGone waits until no session runs a statement with marker in it.
func requireGone(tb testing.TB, db *bun.DB, marker string) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		return value[int](tb, db, "SELECT count(*) FROM information_schema.processlist "+
			"WHERE info LIKE ? AND id <> CONNECTION_ID()", "%"+marker+"%") == 0
	}, 3*time.Second, 10*time.Millisecond, "it still runs on the server")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	direct := open(t, parse(t, server.URL()), driver.Options{})
	run(t, direct, createItems)
	tests := []struct {
		name string
		do   func(ctx context.Context, db *bun.DB, marker string) error
	}{
		{"exec", func(ctx context.Context, db *bun.DB, marker string) error {
			_, err := db.ExecContext(ctx, "INSERT INTO items (name) SELECT ? FROM (SELECT SLEEP(20)) s", marker)
			return err
		}},
		{"prepared", func(ctx context.Context, db *bun.DB, marker string) error {
			_, err := db.DB.ExecContext(ctx, "INSERT INTO items (name) SELECT '"+marker+"' FROM (SELECT SLEEP(20)) s WHERE 1 = ?", 1)
			return err
		}},
		{"returning", func(ctx context.Context, db *bun.DB, marker string) error {
			return db.QueryRowContext(ctx, "INSERT INTO items (name) SELECT ? FROM (SELECT SLEEP(20)) s RETURNING id", marker).Scan(new(int))
		}},
		{"select", func(ctx context.Context, db *bun.DB, marker string) error {
			return db.QueryRowContext(ctx, "SELECT SLEEP(20), ?", marker).Scan(new(int), new(string))
		}},
		{"do", func(ctx context.Context, db *bun.DB, marker string) error {
			_, err := db.ExecContext(ctx, "DO SLEEP(20), ?", marker)
			return err
		}},
		{"transaction", func(ctx context.Context, db *bun.DB, marker string) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO items (name) SELECT ? FROM (SELECT SLEEP(20)) s", marker)
				return err
			})
		}},
		{"rows", func(ctx context.Context, db *bun.DB, marker string) (err error) {
			rows, err := db.QueryContext(ctx, "SELECT seq, SLEEP(0.2), ? FROM seq_1_to_100", marker+strings.Repeat("x", 1<<15))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, rows.Close()) }()
			for rows.Next() {
			}
			return rows.Err()
		}},
	}
	for _, tt := range tests {
		for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
			t.Run(tt.name+"/"+end.Error(), func(t *testing.T) {
				t.Parallel()
				db := open(t, parse(t, server.URL()), driver.Options{})
				require.NoError(t, db.PingContext(t.Context()))
				marker := fmt.Sprintf("marker-%s-%s", tt.name, end)

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if errors.Is(end, context.DeadlineExceeded) {
					ctx, cancel = context.WithTimeout(t.Context(), 150*time.Millisecond)
					defer cancel()
				} else {
					time.AfterFunc(150*time.Millisecond, cancel)
				}
				begun := time.Now()
				err := tt.do(ctx, db, marker)
				require.Less(t, time.Since(begun), 2*time.Second)
				require.ErrorIs(t, err, end)

				requireGone(t, direct, marker)
				require.Zero(t, value[int](t, direct, "SELECT count(*) FROM items WHERE name = ?", marker))
				require.NoError(t, db.PingContext(t.Context()), "the pool goes on")
				require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, 5*time.Second, time.Millisecond,
					"database/sql rolls back on its own time")
			})
		}
	}
}

// A statement that the server has stopped did nothing for certain.
func TestCancelOutcome(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, createItems)
	require.Eventually(t, func() bool { // On a busy machine it takes longer than the driver waits.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := db.ExecContext(ctx, "INSERT INTO items (name) SELECT 'x' FROM (SELECT SLEEP(20)) s")
		var stopped *gomysql.MySQLError
		return errors.Is(err, context.DeadlineExceeded) && ours(t).Classify(err) == 0 && errors.As(err, &stopped)
	}, 10*time.Second, time.Millisecond)
}

// The transaction of a stopped statement can still be rolled back, and does
// not leave its locks behind.
func TestCancelReleasesLocks(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, createItems, "INSERT INTO items (name) VALUES ('a')")
	holder, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	run(t, holder, "UPDATE items SET name = 'b'")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE items SET name = 'c'")
		return err
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, holder.Commit())
	require.Equal(t, "b", value[string](t, db, "SELECT name FROM items"))
}

// A context that ended before is not even a reason to send.
func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	c := pinned(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.ExecContext(ctx, "DO 1")
	require.ErrorIs(t, err, context.Canceled)
	run(t, c, "DO 1")
}

// A server that does not answer any more is not waited for, and what became
// of the statement is unknown.
func TestCancelWithoutAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		tx    bool
		class driver.Class
	}{{"autocommit", false, driver.OutcomeUnknown}, {"transaction", true, driver.Unavailable}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			proxy, db, direct := proxied(t)
			c := pinned(t, db)
			t.Cleanup(proxy.Cut) // Nothing may wait for ever, whatever fails.
			if tt.tx {
				run(t, c, "BEGIN")
			}
			proxy.Arm(cutproxy.HangReply, "insert into")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			begun := time.Now()
			err := within(t, func() error {
				_, err := c.ExecContext(ctx, "INSERT INTO items (name) VALUES ('x')")
				return err
			})
			require.Less(t, time.Since(begun), 2*time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, tt.class, ours(t).Classify(err), "%v", err)
			if !tt.tx {
				require.Equal(t, 1, value[int](t, direct, "SELECT count(*) FROM items"), "it did run")
			}
		})
	}
}

// A statement that ended before the KILL reached it has succeeded.
func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE TABLE n (id int)")
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
		_, err := db.ExecContext(ctx, "INSERT INTO n VALUES (?)", i)
		cancel()
		rows := value[int](t, db, "SELECT count(*) FROM n WHERE id = ?", i)
		if ours(t).Classify(err)&driver.OutcomeUnknown == 0 {
			require.Equal(t, err == nil, rows == 1, "%v", err)
		}
	}
}

// Close waits for a KILL that is on its way, so nothing is left behind.
func TestCancelThenClose(t *testing.T) {
	t.Parallel()
	proxy, db, _ := proxied(t)
	proxy.Arm(cutproxy.HangReply, "kill query")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := db.ExecContext(ctx, "DO SLEEP(5)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), 900*time.Millisecond)
	require.NoError(t, db.Close())
	require.Greater(t, time.Since(begun), 800*time.Millisecond)
	require.Less(t, time.Since(begun), 2*time.Second)
}

// Behind one address there may be several servers, where one id is many
// sessions. Only the right one may be killed.
func TestCancelBehindBalancer(t *testing.T) {
	t.Parallel()
	other, server := dbtest.MariaDB(t), dbtest.StartMariaDB(t)
	balancer, to := balance(t, server.Addr())

	strangers := open(t, parse(t, other.URL()), driver.Options{})
	run(t, strangers, "CREATE TABLE sleepers (n int)", "INSERT INTO sleepers VALUES (1)")
	stranger := pinned(t, strangers)
	id := value[int](t, stranger, "SELECT CONNECTION_ID()")
	db := open(t, parse(t, server.URLVia(balancer)), driver.Options{})
	var same bun.Conn
	for same = pinned(t, db); value[int](t, same, "SELECT CONNECTION_ID()") < id; same = pinned(t, db) {
	}
	require.Equal(t, id, value[int](t, same, "SELECT CONNECTION_ID()"), "the test needs two sessions of one id")

	to(other.Addr())
	slept := make(chan error, 1)
	go func() {
		_, err := stranger.ExecContext(context.Background(), "UPDATE sleepers SET n = n + SLEEP(0.4)")
		slept <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := same.ExecContext(ctx, "DO SLEEP(1)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, driver.OutcomeUnknown, ours(t).Classify(err))
	require.NoError(t, <-slept, "a stranger's statement was killed")
}
