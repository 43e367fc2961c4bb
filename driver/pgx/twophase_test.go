package pgx_test

import (
	"context"
	"crypto/rand"
	sqldriver "database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/wire"
)

// twoPhase returns the driver's side of two-phase commit.
func twoPhase(tb testing.TB) driver.TwoPhase {
	tb.Helper()
	tp, ok := pgxDriver(tb).(driver.TwoPhase)
	require.True(tb, ok)
	return tp
}

// connOf returns a connection that goes back when the test ends, at the latest.
func connOf(t *testing.T, db *bun.DB) bun.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// beginBranch begins a transaction on conn that is to be prepared as id, and
// inserts a row.
func beginBranch(t *testing.T, conn bun.Conn, id string) bun.Tx {
	t.Helper()
	ctx := driver.WithBranch(t.Context(), &driver.Branch{ID: id, Prepare: true})
	tx, err := conn.BeginTx(wire.WithCommitTimeout(ctx, cutLimit), nil)
	require.NoError(t, err)
	exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
	return tx
}

// A finisher ends a prepared transaction.
type finisher func(tp driver.TwoPhase, ctx context.Context, conn bun.Conn, id string) error

// within gives f as much time as a Commit has.
func (f finisher) within(t *testing.T, conn bun.Conn, id string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cutLimit)
	defer cancel()
	return f(twoPhase(t), ctx, conn, id)
}

// finish ends a transaction that is prepared.
func finish(t *testing.T, db *bun.DB, id string, f finisher) {
	t.Helper()
	conn := connOf(t, db)
	require.NoError(t, f(twoPhase(t), t.Context(), conn, id))
	require.NoError(t, conn.Close())
}

// prepared returns what is prepared in the database of db.
func prepared(t *testing.T, db *bun.DB) []string {
	t.Helper()
	conn := connOf(t, db)
	ids, err := twoPhase(t).Prepared(t.Context(), conn)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	return ids
}

// newID returns an ID that nothing else on the server has.
func newID() string { return "pgx/" + rand.Text() }

// writesTable returns a pool on a fresh database with a table of writes.
func writesTable(t *testing.T, s *dbtest.Server) *bun.DB {
	t.Helper()
	db := open(t, s.URL(), "")
	exec(t, db, "CREATE TABLE writes (n bigint)")
	return db
}

// TestTwoPhaseLost cuts the connection at each word of a commit in two phases,
// and compares what was said with what is there.
func TestTwoPhaseLost(t *testing.T) { //nolint:paralleltest,tparallel // It measures.
	for _, c := range []struct {
		marker   string
		finish   finisher // Nil cuts the preparation.
		mode     cutproxy.Mode
		prepared bool
		rows     int
	}{
		{marker: "prepare transaction", mode: cutproxy.DropRequest},
		{marker: "prepare transaction", mode: cutproxy.DropReply, prepared: true},
		{marker: "prepare transaction", mode: cutproxy.HangReply, prepared: true},
		{marker: "commit prepared", finish: driver.TwoPhase.CommitPrepared, mode: cutproxy.DropRequest, prepared: true},
		{marker: "commit prepared", finish: driver.TwoPhase.CommitPrepared, mode: cutproxy.DropReply, rows: 1},
		{marker: "commit prepared", finish: driver.TwoPhase.CommitPrepared, mode: cutproxy.HangReply, rows: 1},
		{marker: "rollback prepared", finish: driver.TwoPhase.RollbackPrepared, mode: cutproxy.DropRequest, prepared: true},
		{marker: "rollback prepared", finish: driver.TwoPhase.RollbackPrepared, mode: cutproxy.DropReply},
		{marker: "rollback prepared", finish: driver.TwoPhase.RollbackPrepared, mode: cutproxy.HangReply},
	} {
		t.Run(fmt.Sprint(c.marker, " ", c.mode), func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			var w stopwatch
			for n := range cuts(c.mode == cutproxy.HangReply) {
				conn, id := connOf(t, db), newID()
				end := beginBranch(t, conn, id).Commit
				if c.finish != nil {
					require.NoError(t, end())
					end = func() error { return c.finish.within(t, conn, id) }
				}
				p.Arm(c.mode, c.marker)
				err := w.time(end)
				require.Equal(t, n+1, p.Cuts())
				require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
				require.NotErrorIs(t, err, driver.ErrNotPrepared)
				_ = conn.Close()
				require.Equal(t, c.prepared, slices.Contains(prepared(t, beside), id))
				if c.prepared {
					finish(t, beside, id, driver.TwoPhase.RollbackPrepared)
				}
				require.Equal(t, c.rows*(n+1), count(t, beside, "writes"))
				requireHealthy(t, db)
			}
			w.requireWithin(t, cutLimit)
			requireNoMore(t, db, beside)
		})
	}
}

// The statements of two-phase commit that an application sends itself are no
// less in doubt when their reply is lost.
func TestTwoPhaseLostAsStatements(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			conn, id := connOf(t, db), newID()
			exec(t, conn, "BEGIN", "INSERT INTO writes (n) VALUES (1)")
			if statement != "PREPARE TRANSACTION" {
				exec(t, conn, "PREPARE TRANSACTION '"+id+"'")
			}
			p.Arm(cutproxy.DropReply, statement)
			_, err := conn.ExecContext(t.Context(), statement+" '"+id+"'")
			require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
			require.NotErrorIs(t, err, sqldriver.ErrBadConn)
			if statement == "PREPARE TRANSACTION" {
				finish(t, beside, id, driver.TwoPhase.RollbackPrepared)
			}
			require.Empty(t, prepared(t, beside))
		})
	}
}

// The connection that has prepared a transaction is as good as any.
func TestPreparedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	db := writesTable(t, dbtest.Postgres(t))
	db.SetMaxOpenConns(1)
	conn := connOf(t, db)
	pid := backend(t.Context(), t, conn)
	for _, f := range []finisher{driver.TwoPhase.CommitPrepared, driver.TwoPhase.RollbackPrepared} {
		id := newID()
		require.NoError(t, beginBranch(t, conn, id).Commit())
		exec(t, conn, "INSERT INTO writes VALUES (2)")
		require.NoError(t, f(twoPhase(t), t.Context(), conn, id))
		exec(t, conn, "INSERT INTO writes VALUES (3)")
		err := f(twoPhase(t), t.Context(), conn, id)
		require.ErrorIs(t, err, driver.ErrNotPrepared)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, "it is the server's")
	}
	require.NoError(t, conn.Close())
	require.Equal(t, pid, backend(t.Context(), t, db))
	require.Equal(t, 5, count(t, db, "writes"))
}

// The server has one namespace for all databases, but a transaction can be
// finished only in its own.
func TestPreparedElsewhere(t *testing.T) {
	t.Parallel()
	db, other := writesTable(t, dbtest.Postgres(t)), open(t, dbtest.Postgres(t).URL(), "")
	id := newID()
	require.NoError(t, beginBranch(t, connOf(t, db), id).Commit())
	require.Equal(t, []string{id}, prepared(t, db))
	require.Empty(t, prepared(t, other))
	err := twoPhase(t).RollbackPrepared(t.Context(), connOf(t, other), id)
	require.Error(t, err)
	require.NotErrorIs(t, err, driver.ErrNotPrepared, "it is, though not there")
	finish(t, db, id, driver.TwoPhase.CommitPrepared)
	require.Equal(t, 1, count(t, db, "writes"))
}

func TestCannotPrepare(t *testing.T) {
	t.Parallel()
	db := writesTable(t, dbtest.StartPostgres(t, "max_prepared_transactions = 0"))
	db.SetMaxOpenConns(1)
	conn := connOf(t, db)
	pid := backend(t.Context(), t, conn)
	refusal, err := twoPhase(t).CanPrepare(t.Context(), conn)
	require.NoError(t, err)
	require.Contains(t, refusal, "max_prepared_transactions")
	err = beginBranch(t, conn, newID()).Commit()
	require.ErrorContains(t, err, "prepared transactions are disabled")
	require.Zero(t, pgxDriver(t).Classify(err)&driver.OutcomeUnknown, err)
	require.NoError(t, conn.Close())
	require.Equal(t, pid, backend(t.Context(), t, db), "the connection is kept")
	require.Zero(t, count(t, db, "writes"))
}

func TestCanPrepareIsNotFoundOut(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	ctx, cancel := context.WithCancel(t.Context())
	conn := connOf(t, db)
	cancel()
	refusal, err := twoPhase(t).CanPrepare(ctx, conn)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, refusal)
	_, err = twoPhase(t).Prepared(ctx, conn)
	require.ErrorIs(t, err, context.Canceled)
}

// The server answers PREPARE TRANSACTION of a transaction that has failed with
// success, and prepares nothing.
func TestPrepareAborted(t *testing.T) {
	t.Parallel()
	db := writesTable(t, dbtest.Postgres(t))
	db.SetMaxOpenConns(1)
	conn := connOf(t, db)
	pid := backend(t.Context(), t, conn)
	tx := beginBranch(t, conn, newID())
	_, err := tx.ExecContext(t.Context(), "SELECT 1/0")
	require.Error(t, err)
	err = tx.Commit()
	require.ErrorIs(t, err, jackc.ErrTxCommitRollback)
	require.ErrorContains(t, err, "PREPARE TRANSACTION")
	require.Equal(t, driver.DoomsTx, pgxDriver(t).Classify(err), err)
	require.NoError(t, conn.Close())
	require.Equal(t, pid, backend(t.Context(), t, db), "the connection is kept")
	require.Empty(t, prepared(t, db))
	require.Zero(t, count(t, db, "writes"))
}

// What cannot be an ID is never sent.
func TestPrepareBadIDs(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	p.ArmN(-1, cutproxy.DropRequest, "prepare")
	db.SetMaxOpenConns(1)
	for _, id := range []string{"", "it's", "a b", "a'b", "\\", "é", "a\x00", strings.Repeat("x", 129)} {
		conn := connOf(t, db)
		err := beginBranch(t, conn, id).Commit()
		require.ErrorContains(t, err, "cannot be the ID", "%q", id)
		require.Zero(t, pgxDriver(t).Classify(err), "%q", id)
		for _, f := range []finisher{driver.TwoPhase.CommitPrepared, driver.TwoPhase.RollbackPrepared} {
			require.ErrorContains(t, f(twoPhase(t), t.Context(), conn, id), "cannot be the ID", "%q", id)
		}
		require.NoError(t, conn.Close())
	}
	require.Zero(t, p.Cuts())
	p.Disarm()
	require.Zero(t, count(t, beside, "writes"))

	longest := "AZaz09/._-~@" + newID()
	longest += strings.Repeat("x", 128-len(longest))
	require.NoError(t, beginBranch(t, connOf(t, beside), longest).Commit())
	require.Equal(t, []string{longest}, prepared(t, beside))
	finish(t, beside, longest, driver.TwoPhase.RollbackPrepared)
}

// TestPreparedIsBusy has one session wait for a standby in the middle of its
// COMMIT PREPARED. Whether it will get through is not known to the other.
func TestPreparedIsBusy(t *testing.T) {
	t.Parallel()
	s := dbtest.StartPostgres(t, "max_prepared_transactions = 5")
	db := writesTable(t, s)
	conn, id := connOf(t, db), newID()
	require.NoError(t, beginBranch(t, conn, id).Commit())
	exec(t, db, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	exec(t, db, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		var names string
		require.NoError(t, db.NewRaw("SHOW synchronous_standby_names").Scan(t.Context(), &names))
		return names == "nobody"
	}, 5*time.Second, 5*time.Millisecond)

	commit := make(chan error, 1)
	go func() { commit <- twoPhase(t).CommitPrepared(t.Context(), conn, id) }()
	require.Eventually(t, func() bool {
		waiting, err := db.NewSelect().Table("pg_stat_activity").Where("wait_event = 'SyncRep'").Count(t.Context())
		require.NoError(t, err)
		return waiting == 1
	}, 5*time.Second, 5*time.Millisecond)
	other := connOf(t, db)
	for _, limit := range []time.Duration{100 * time.Millisecond, 10 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		start := time.Now()
		err := twoPhase(t).RollbackPrepared(ctx, other, id)
		cancel()
		require.Error(t, err)
		if limit > time.Second {
			require.ErrorContains(t, err, "another session")
		}
		require.NotErrorIs(t, err, driver.ErrNotPrepared)
		require.Less(t, time.Since(start), 2*time.Second)
	}

	rollback := make(chan error, 1)
	go func() { rollback <- twoPhase(t).RollbackPrepared(t.Context(), other, id) }()
	exec(t, db, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") // It need not wait any more.
	require.NoError(t, <-commit)
	require.ErrorIs(t, <-rollback, driver.ErrNotPrepared)
	require.Equal(t, 1, count(t, db, "writes"))
}
