package pgx_test

import (
	"database/sql"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/wire"
)

const (
	// cutLimit is the time limit of what is cut.
	cutLimit = 400 * time.Millisecond

	// The markers of what a Commit sends.
	atXID     = "_if_assigned"
	atCommit  = "commit\x00"
	atConnect = "user\x00"
	atAsk     = "_xact_status"
)

// cuts returns how many connections are cut at a place. Where each takes all
// of its time limit, the short form of the tests has few.
func cuts(slow bool) int {
	if slow && os.Getenv("ECHOBUN_LONG") == "" {
		return 5
	}
	return 20
}

// TestCommitLost compares what Commit says with what is there.
func TestCommitLost(t *testing.T) { //nolint:paralleltest,tparallel // It measures.
	const rolledBack = driver.DoomsTx | driver.Unavailable
	for _, c := range []struct {
		name    string
		mode    cutproxy.Mode
		markers []string // One falls once, several for as long as Commit takes.
		class   driver.Class
		rows    int
	}{
		{name: "request of the id", mode: cutproxy.DropRequest, markers: []string{atXID}, class: rolledBack},
		{name: "reply with the id", mode: cutproxy.DropReply, markers: []string{atXID}, class: rolledBack},
		{name: "no reply with the id", mode: cutproxy.HangReply, markers: []string{atXID}, class: rolledBack},
		{name: "request", mode: cutproxy.DropRequest, markers: []string{atCommit}, class: rolledBack},
		{name: "reply", mode: cutproxy.DropReply, markers: []string{atCommit}, rows: 1},
		{name: "no reply", mode: cutproxy.HangReply, markers: []string{atCommit}, rows: 1},
		{name: "request, and nobody to ask", mode: cutproxy.DropRequest, markers: []string{atCommit, atConnect}, class: driver.OutcomeUnknown},
		{name: "reply, and nobody to ask", mode: cutproxy.DropReply, markers: []string{atCommit, atConnect}, class: driver.OutcomeUnknown, rows: 1},
		{name: "no reply, and nobody to ask", mode: cutproxy.HangReply, markers: []string{atCommit, atConnect}, class: driver.OutcomeUnknown, rows: 1},
		{name: "request, and the question", mode: cutproxy.DropRequest, markers: []string{atCommit, atAsk}, class: driver.OutcomeUnknown},
		{name: "reply, and the answer", mode: cutproxy.DropReply, markers: []string{atCommit, atAsk}, class: driver.OutcomeUnknown, rows: 1},
		{name: "no reply, and no answer", mode: cutproxy.HangReply, markers: []string{atCommit, atAsk}, class: driver.OutcomeUnknown, rows: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			times := 1
			if len(c.markers) > 1 {
				times = -1
			}
			var w stopwatch
			settled := 0
			for n := range cuts(c.mode == cutproxy.HangReply || times < 0) {
				tx := beginLimited(t, db)
				exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
				before := p.Cuts()
				p.ArmN(times, c.mode, c.markers...)
				err := w.time(tx.Commit)
				p.Disarm()
				require.Greater(t, p.Cuts(), before)
				class := pgxDriver(t).Classify(err)
				require.Equal(t, class == 0, err == nil, err)
				if class == c.class {
					settled++
				} else { // After a hang there is little time to ask, and the machine may be busy.
					require.Equal(t, cutproxy.HangReply, c.mode, err)
					require.NotZero(t, class&driver.OutcomeUnknown, err)
				}
				require.Equal(t, c.rows*(n+1), count(t, beside, "writes"))
				requireHealthy(t, db)
			}
			if c.mode != cutproxy.HangReply || os.Getenv("ECHOBUN_LONG") != "" {
				require.Positive(t, settled)
			}
			w.requireWithin(t, cutLimit)
			requireNoMore(t, db, beside)
		})
	}
}

// beginLimited begins a transaction whose Commit has cutLimit.
func beginLimited(t *testing.T, db *bun.DB) bun.Tx {
	t.Helper()
	tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), cutLimit), nil)
	require.NoError(t, err)
	return tx
}

// A stopwatch measures how long calls take.
type stopwatch struct{ took []time.Duration }

func (w *stopwatch) time(call func() error) error {
	start := time.Now()
	err := call()
	w.took = append(w.took, time.Since(start))
	return err
}

// requireWithin requires that half of the calls end in time, and that none
// takes long. The others may be the machine's fault, which is busy.
func (w *stopwatch) requireWithin(t *testing.T, limit time.Duration) {
	t.Helper()
	slices.Sort(w.took)
	t.Logf("median %v, longest %v", w.took[len(w.took)/2], w.took[len(w.took)-1])
	margin := time.Second
	if os.Getenv("ECHOBUN_LONG") != "" {
		margin = 250 * time.Millisecond
	}
	require.Less(t, w.took[len(w.took)/2], limit+margin)
	require.Less(t, w.took[len(w.took)-1], limit+3*time.Second)
}

// requireHealthy requires that the pool is as good as new.
func requireHealthy(t *testing.T, db *bun.DB) {
	t.Helper()
	require.Zero(t, db.Stats().InUse)
	exec(t, db, "SELECT 1")
}

// requireNoMore requires that the server has no connections but those of
// these pools.
func requireNoMore(t *testing.T, pools ...*bun.DB) {
	t.Helper()
	require.Eventually(t, func() bool {
		var there, ours int
		err := pools[0].NewRaw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").Scan(t.Context(), &there)
		for _, db := range pools {
			ours += db.Stats().OpenConnections
		}
		return err == nil && there == ours
	}, waitFor, tick)
}

// After a failover behind one address, another server answers there. It may
// have committed another transaction under the same id.
func TestResolveDisbelievesAnotherServer(t *testing.T) {
	t.Parallel()
	s, other := dbtest.StartPostgres(t), dbtest.StartPostgres(t)
	require.Equal(t, s.URL(), other.URLVia(s.Addr()), "both take the same password")
	beside, otherDB := open(t, s.URL(), ""), open(t, other.URL(), "")
	exec(t, beside, "CREATE TABLE writes (n bigint)")
	r := &relay{upstream: s.Addr(), moved: other.Addr()}
	p := cutproxy.New(t, r.start(t, "127.0.0.1"))
	db := open(t, s.URLVia(p.Addr()), "sslmode=disable") // Each attempt is one connection.

	tx := beginLimited(t, db)
	exec(t, tx, "INSERT INTO writes VALUES (1)")
	xid := currentXID(t, tx)
	for range 100_000 {
		if currentXID(t, otherDB) >= xid {
			break
		}
	}
	var status string
	require.NoError(t, otherDB.NewRaw("SELECT pg_xact_status('"+strconv.FormatInt(xid, 10)+"')").Scan(t.Context(), &status))
	require.Equal(t, "committed", status)

	p.Arm(cutproxy.DropRequest, atCommit)
	err := tx.Commit()
	require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
	require.Zero(t, count(t, beside, "writes"))
	require.EqualValues(t, 2, r.conns.Load(), "it asks once: no other answer would come")
}

// A server that has lost a backend starts anew without a new start time, and
// gives ids again that had not reached its disk.
func TestResolveDisbelievesAServerThatCrashed(t *testing.T) {
	t.Parallel()
	s := dbtest.StartPostgres(t, "wal_writer_delay = 10s")
	beside := open(t, s.URL(), "")
	exec(t, beside, "CREATE TABLE writes (n bigint)")
	exec(t, beside, "CHECKPOINT")
	var victim int
	require.NoError(t, beside.NewRaw("SELECT pg_backend_pid()").Scan(t.Context(), &victim))

	r := &relay{upstream: s.Addr(), hold: make(chan struct{})}
	p := cutproxy.New(t, r.start(t, "127.0.0.1"))
	release := sync.OnceFunc(func() { close(r.hold) })
	t.Cleanup(release)
	db := open(t, s.URLVia(p.Addr()), "sslmode=disable")
	tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), time.Minute), nil)
	require.NoError(t, err)
	exec(t, tx, "INSERT INTO writes VALUES (1)")
	xid := currentXID(t, tx)
	p.Arm(cutproxy.DropRequest, atCommit)
	outcome := make(chan error, 1)
	go func() { outcome <- tx.Commit() }()
	require.Eventually(t, func() bool { return p.Cuts() == 1 }, waitFor, tick)

	require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
	after := open(t, s.URL(), "")
	require.Eventually(t, func() bool {
		var id int64
		err := after.NewRaw("SELECT pg_current_xact_id()::text::bigint").Scan(t.Context(), &id)
		return err == nil && id >= xid
	}, waitFor, tick)
	release()
	require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(<-outcome))
	require.Zero(t, count(t, after, "writes"))
}

// currentXID returns the id of the transaction that asks.
func currentXID(t *testing.T, db bun.IDB) int64 {
	t.Helper()
	var xid int64
	require.NoError(t, db.NewRaw("SELECT pg_current_xact_id()::text::bigint").Scan(t.Context(), &xid))
	return xid
}

// A transaction that still commits when its connection is lost is waited for,
// as long as there is time.
func TestResolveWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		sleep string
		limit time.Duration
		class driver.Class
	}{
		{name: "in time", sleep: "0.5", limit: waitFor},
		{name: "too long", sleep: "2", limit: time.Second, class: driver.OutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			sleep := "PERFORM pg_sleep(" + c.sleep + ");"
			exec(t, beside, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+
				"BEGIN "+sleep+" EXCEPTION WHEN query_canceled THEN "+sleep+" END; RETURN NULL; END $$", // Pgx tries to cancel it.
				"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON writes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()")
			tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), c.limit), nil)
			require.NoError(t, err)
			exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
			done := make(chan error, 1)
			go func() { done <- tx.Commit() }()
			require.Eventually(t, func() bool {
				var n int
				err := beside.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'").Scan(t.Context(), &n)
				return err == nil && n == 1
			}, waitFor, tick)
			p.Cut()
			err = <-done
			if pgxDriver(t).Classify(err) == driver.DoomsTx|driver.Unavailable {
				// A busy machine cancelled it more than once. That has to be the truth.
				require.Zero(t, count(t, beside, "writes"))
				return
			}
			require.Equal(t, c.class, pgxDriver(t).Classify(err), err)
			require.Equal(t, c.class == 0, err == nil, err)
			require.Eventually(t, func() bool { return count(t, beside, "writes") == 1 }, waitFor, tick)
		})
	}
}

// A transaction without an id has written nothing, but its COMMIT may still
// have an effect.
func TestResolveWithoutID(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	tx := beginLimited(t, db)
	exec(t, tx, "NOTIFY nobody")
	p.Arm(cutproxy.DropReply, atCommit)
	err := tx.Commit()
	require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
	requireHealthy(t, db)
}

// A read-only transaction has no id to ask for, and one that has failed cannot ask.
func TestCommitAsksForNoID(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	p.ArmN(-1, cutproxy.DropRequest, atXID)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	exec(t, tx, "SELECT 1")
	require.NoError(t, tx.Commit())
	tx = beginLimited(t, db)
	_, err = tx.ExecContext(t.Context(), "SELECT 1/0")
	require.Error(t, err)
	require.ErrorIs(t, tx.Commit(), jackc.ErrTxCommitRollback)
	require.Zero(t, p.Cuts())
}

func TestXIDFunctions(t *testing.T) {
	t.Parallel()
	const current, status = "pg_current_xact_id_if_assigned", "pg_xact_status"
	const oldCurrent, oldStatus = "txid_current_if_assigned", "txid_status"
	for _, c := range []struct{ version, current, status string }{
		{"17.2", current, status},
		{"15.8 (Debian 15.8-0+deb12u1)", current, status},
		{"13", current, status},
		{"12.22", oldCurrent, oldStatus},
		{"10.0", oldCurrent, oldStatus},
		{"9.6.24", "", ""},
		{"11.2-YB-2.20.0.0-b0", "", ""},
		{"", "", ""},
		{"99999999999999999999", "", ""},
	} {
		gotCurrent, gotStatus := pgx.XIDFunctions(c.version)
		require.Equal(t, []string{c.current, c.status}, []string{gotCurrent, gotStatus}, c.version)
	}
	db := open(t, dbtest.Postgres(t).URL(), "")
	for _, version := range []string{"12.22", "13"} {
		current, status := pgx.XIDFunctions(version)
		xid := currentXID(t, db)
		var id sql.NullString
		require.NoError(t, db.NewRaw("SELECT "+current+"()::text").Scan(t.Context(), &id))
		require.False(t, id.Valid, "it writes nothing")
		var got string
		require.NoError(t, db.NewRaw("SELECT "+status+"('"+strconv.FormatInt(xid, 10)+"')").Scan(t.Context(), &got))
		require.Equal(t, "committed", got)
	}
}
