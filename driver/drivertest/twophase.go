package drivertest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/wire"
)

// A preparer is a database whose driver can prepare transactions.
type preparer struct {
	database

	tp driver.TwoPhase
}

// preparer returns a database with an empty table, or false if the driver
// cannot prepare transactions.
func (s suite) preparer(t *testing.T) (preparer, bool) {
	t.Helper()
	db := s.open(t)
	tp, ok := db.drv.(driver.TwoPhase)
	if ok {
		db.exec(t, "CREATE TABLE notes (v varchar(100))")
	}
	return preparer{db, tp}, ok
}

// prepare prepares a transaction with one row, and returns the connection
// that it was prepared on.
func (p preparer) prepare(t *testing.T) (bun.Conn, string) {
	t.Helper()
	conn, tx, b := p.begin(t)
	b.Prepare = true
	require.NoError(t, tx.Commit())
	require.Contains(t, p.prepared(t), b.ID)
	return conn, b.ID
}

// begin begins a transaction that may be prepared, and inserts a row.
func (p preparer) begin(t *testing.T) (bun.Conn, bun.Tx, *driver.Branch) {
	t.Helper()
	b := &driver.Branch{ID: "drivertest/" + rand.Text() + "/" + rand.Text() + rand.Text() + "@~._-"}
	conn, err := p.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ctx := wire.WithCommitTimeout(driver.WithBranch(t.Context(), b), time.Second)
	tx, err := conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO notes (v) VALUES ('x')")
	require.NoError(t, err)
	return conn, tx, b
}

func (p preparer) prepared(t *testing.T) []string {
	t.Helper()
	conn, err := p.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	ids, err := p.tp.Prepared(t.Context(), conn)
	require.NoError(t, err)
	return ids
}

// finish has another connection end a prepared transaction. The server may
// need a moment to see that the one that prepared it has gone.
func (p preparer) finish(t *testing.T, id string, how func(context.Context, bun.Conn, string) error) {
	t.Helper()
	conn, err := p.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.Eventually(t, func() bool {
		err := how(t.Context(), conn, id)
		return err == nil || !slices.Contains(p.prepared(t), id)
	}, 5*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, how(t.Context(), conn, id), driver.ErrNotPrepared)
	require.NotContains(t, p.prepared(t), id)
}

// testPreparesAndFinishes goes through the ends of a prepared transaction.
func (s suite) testPreparesAndFinishes(t *testing.T) {
	p, ok := s.preparer(t)
	if !ok {
		return
	}
	conn, err := p.Conn(t.Context())
	require.NoError(t, err)
	refusal, err := p.tp.CanPrepare(t.Context(), conn)
	require.NoError(t, err)
	require.Empty(t, refusal)
	require.NoError(t, conn.Close())

	conn, id := p.prepare(t)
	require.Zero(t, p.count(t, "notes"))
	require.NoError(t, p.tp.CommitPrepared(t.Context(), conn, id))
	require.Equal(t, 1, p.count(t, "notes"))
	_, err = conn.ExecContext(t.Context(), "INSERT INTO notes (v) VALUES ('by itself')")
	require.NoError(t, err, "the connection is as good as new")
	require.NoError(t, conn.Close())
	require.Equal(t, 2, p.count(t, "notes"))

	conn, id = p.prepare(t)
	require.NoError(t, p.tp.RollbackPrepared(t.Context(), conn, id))
	require.ErrorIs(t, p.tp.RollbackPrepared(t.Context(), conn, id), driver.ErrNotPrepared)
	require.NoError(t, conn.Close())
	require.Equal(t, 2, p.count(t, "notes"))

	conn, id = p.prepare(t)
	require.NoError(t, conn.Close(), "the pool gets it back, and must not lend it out as it is")
	p.finish(t, id, p.tp.CommitPrepared)
	require.Equal(t, 3, p.count(t, "notes"))

	conn, id = p.prepare(t)
	require.NoError(t, conn.Close())
	p.finish(t, id, p.tp.RollbackPrepared)
	require.Equal(t, 3, p.count(t, "notes"))
	p.requireIdle(t)
}

// testPreparesNothingUnasked ends transactions that could have been prepared
// in the ordinary way, and prepares one that has failed.
func (s suite) testPreparesNothingUnasked(t *testing.T) {
	p, ok := s.preparer(t)
	if !ok {
		return
	}
	conn, tx, _ := p.begin(t)
	require.NoError(t, tx.Commit())
	require.NoError(t, conn.Close())
	require.Equal(t, 1, p.count(t, "notes"))

	conn, tx, b := p.begin(t)
	require.NoError(t, tx.Rollback())
	require.NoError(t, conn.Close())
	require.NotContains(t, p.prepared(t), b.ID)
	require.Equal(t, 1, p.count(t, "notes"))

	conn, tx, b = p.begin(t)
	_, err := tx.ExecContext(t.Context(), "SAVEPOINT a")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO notes (v) VALUES ('no')")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "ROLLBACK TO SAVEPOINT a")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "RELEASE SAVEPOINT a")
	require.NoError(t, err)
	b.Prepare = true
	require.NoError(t, tx.Commit())
	require.NoError(t, p.tp.CommitPrepared(t.Context(), conn, b.ID))
	require.NoError(t, conn.Close())
	require.Equal(t, 2, p.count(t, "notes"))

	bad := &driver.Branch{ID: "it's"}
	conn, err = p.Conn(t.Context())
	require.NoError(t, err)
	tx, err = conn.BeginTx(driver.WithBranch(t.Context(), bad), nil)
	if err == nil {
		bad.Prepare = true
		err = tx.Commit()
	}
	require.Error(t, err, "an ID with a quote")
	require.NoError(t, conn.Close())
	p.requireIdle(t)
}

// testLostPrepareIsNoLie loses the words of a commit in two phases.
func (s suite) testLostPrepareIsNoLie(t *testing.T) {
	p, ok := s.preparer(t)
	if !ok || !s.cfg.Network {
		return
	}
	via, proxy := s.viaProxy(t, p.url)
	proxied := preparer{via, p.tp}
	for _, mode := range []cutproxy.Mode{cutproxy.DropRequest, cutproxy.DropReply, cutproxy.HangReply} {
		for _, marker := range []string{"prepare", "xa end"} {
			before := p.count(t, "notes")
			conn, tx, b := proxied.begin(t)
			b.Prepare = true
			proxy.Arm(mode, marker)
			start := time.Now()
			err := tx.Commit()
			require.Less(t, time.Since(start), 3*time.Second, "a hang ends within its limit")
			proxy.Disarm()
			_ = conn.Close()
			if err != nil && p.drv.Classify(err)&driver.OutcomeUnknown == 0 {
				require.NotContains(t, p.prepared(t), b.ID, "%v", err)
			}
			require.Equal(t, before, p.count(t, "notes"))
			if slices.Contains(p.prepared(t), b.ID) {
				p.finish(t, b.ID, p.tp.RollbackPrepared)
			}
		}

		conn, id := proxied.prepareAlone(t, p)
		proxy.Arm(mode, "commit")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		err := p.tp.CommitPrepared(ctx, conn, id)
		cancel()
		require.Error(t, err)
		require.NotErrorIs(t, err, driver.ErrNotPrepared)
		require.Less(t, time.Since(start), 3*time.Second, "it ends with its context")
		proxy.Disarm()
		_ = conn.Close()
		if slices.Contains(p.prepared(t), id) {
			p.finish(t, id, p.tp.RollbackPrepared)
		}
	}
	proxied.requireIdle(t)
	proxied.count(t, "notes")
}

// prepareAlone prepares through a pool of one connection, and looks through another.
func (p preparer) prepareAlone(t *testing.T, beside preparer) (bun.Conn, string) {
	t.Helper()
	conn, tx, b := p.begin(t)
	b.Prepare = true
	require.NoError(t, tx.Commit())
	require.Contains(t, beside.prepared(t), b.ID)
	return conn, b.ID
}
