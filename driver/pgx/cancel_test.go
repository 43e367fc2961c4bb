package pgx_test

import (
	"context"
	sqldriver "database/sql/driver"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestCancelReachesServerAndKeepsConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{name: "deadline", want: context.DeadlineExceeded, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		}},
		{name: "cancel", want: context.Canceled, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := dbtest.Postgres(t)
			db, beside := open(t, s.URL(), ""), open(t, s.URL(), "")
			db.SetMaxOpenConns(1)
			exec(t, db, "CREATE TABLE writes (n bigint)")
			pid := backend(t.Context(), t, db)
			for _, q := range []string{
				"INSERT INTO writes SELECT 1 FROM pg_sleep(1)",
				"INSERT INTO writes SELECT 1 FROM pg_sleep(1) RETURNING n",
			} {
				ctx, cancel := c.ctx(t.Context())
				start := time.Now()
				var err error
				if q[len(q)-1] == 'n' {
					err = db.NewRaw(q).Scan(ctx, new(int))
				} else {
					_, err = db.ExecContext(ctx, q)
				}
				cancel()
				took := time.Since(start)
				require.ErrorIs(t, err, c.want)
				require.Zero(t, pgxDriver(t).Classify(err), "a statement that was cancelled is not done: %v", err)
				require.Less(t, took, 600*time.Millisecond)
				kept := backend(t.Context(), t, db)
				if took < 250*time.Millisecond { // Else a busy server has not answered in time.
					require.Equal(t, pid, kept)
				}
				pid = kept
			}
			time.Sleep(time.Second)
			require.Zero(t, count(t, beside, "writes"))
		})
	}
}

// A statement whose context has ended before it is sent costs nothing.
func TestContextEndedBefore(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer c.Close()
	pid := backend(t.Context(), t, c)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, c.Raw(func(dc any) error {
		p, ok := dc.(sqldriver.Pinger)
		require.True(t, ok)
		for range 3 {
			require.ErrorIs(t, p.Ping(ended), context.Canceled)
		}
		return nil
	}))
	require.Equal(t, pid, backend(t.Context(), t, c))
}

// A server that does not answer to a request to cancel costs the connection,
// and no more than 200 ms.
func TestCancelUnanswered(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		db   bun.IDB
		want driver.Class
	}{
		{name: "in a transaction", db: tx, want: driver.DoomsTx | driver.Unavailable},
		{name: "alone", db: db, want: driver.OutcomeUnknown},
	} {
		exec(t, db, "SELECT 1") // So there is a connection.
		p.Arm(cutproxy.HangReply, "insert into")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		_, err := c.db.ExecContext(ctx, "INSERT INTO writes (n) VALUES (1)")
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, c.name)
		require.Equal(t, c.want, pgxDriver(t).Classify(err), "%s: %v", c.name, err)
		require.Less(t, time.Since(start), 700*time.Millisecond, c.name)
	}
	require.NoError(t, tx.Rollback())
}

// short is a statement that is over soon after its context.
func short(t *testing.T, db bun.IDB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	_, _ = db.ExecContext(ctx, "SELECT pg_sleep(0.15)")
}

// A request to cancel that comes late would hit the next statement. Where it
// is known to be on its way the connection is given up.
func TestCancelOnItsWay(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	r := &relay{upstream: s.Addr(), cancelDelay: 400 * time.Millisecond}
	db := open(t, s.URLVia(r.start(t, "127.0.0.1")), "")
	db.SetMaxOpenConns(1)
	pid := backend(t.Context(), t, db)
	short(t, db)
	exec(t, db, "SELECT pg_sleep(0.5)")
	require.EqualValues(t, 1, r.cancels.Load())
	require.NotEqual(t, pid, backend(t.Context(), t, db))

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	short(t, tx)
	_, err = tx.ExecContext(t.Context(), "SELECT pg_sleep(0.5)")
	require.Equal(t, driver.Unavailable|driver.DoomsTx, pgxDriver(t).Classify(err), err)
	require.NoError(t, tx.Rollback())
}

// openLate returns one connection, and its process, through a relay that has
// requests to cancel come late, and says at once that they are done.
func openLate(t *testing.T, r *relay) (db *bun.DB, pid int) {
	t.Helper()
	s := dbtest.Postgres(t)
	r.upstream, r.cancelDelay, r.answerEarly = s.Addr(), 150*time.Millisecond, true
	db = open(t, s.URLVia(r.start(t, "127.0.0.1")), "")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE writes (n bigint)")
	return db, backend(t.Context(), t, db)
}

// PostgreSQL signals a process twice for one request, which therefore can hit
// two statements.
func TestCancelHitsTwice(t *testing.T) {
	t.Parallel()
	var pid atomic.Int64
	r := &relay{}
	operator := open(t, dbtest.Postgres(t).URL(), "")
	r.signal = func() {
		for range 2 {
			_, err := operator.ExecContext(context.Background(), "SELECT pg_cancel_backend(?)", pid.Load())
			if err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	db, n := openLate(t, r)
	pid.Store(int64(n))
	short(t, db)
	exec(t, db, "INSERT INTO writes SELECT 1 FROM pg_sleep(0.5)")
	require.Equal(t, 1, count(t, db, "writes"))
	require.Equal(t, n, backend(t.Context(), t, db))
}

// Where a pooler says that it is done before it is, the statement that is hit
// is sent again, for the server has said that it was not done.
func TestCancelOfAnEarlierStatement(t *testing.T) {
	t.Parallel()
	r := &relay{}
	db, pid := openLate(t, r)

	short(t, db)
	exec(t, db, "INSERT INTO writes SELECT 1 FROM pg_sleep(0.5)")
	short(t, db)
	var n int
	require.NoError(t, db.NewRaw("INSERT INTO writes SELECT 2 FROM pg_sleep(0.5) RETURNING n").Scan(t.Context(), &n))
	require.EqualValues(t, 2, r.cancels.Load())
	require.Equal(t, 2, count(t, db, "writes"))
	require.Equal(t, pid, backend(t.Context(), t, db))

	short(t, db)
	_, err := db.ExecContext(t.Context(), "DO $$ BEGIN PERFORM pg_sleep(0.5); END $$")
	require.Equal(t, driver.Serialization, pgxDriver(t).Classify(err), err)

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	short(t, tx)
	_, err = tx.ExecContext(t.Context(), "SELECT pg_sleep(0.5)")
	require.NotZero(t, driver.DoomsTx&pgxDriver(t).Classify(err), err)
	require.NoError(t, tx.Rollback())
}

// A time limit of the server's own is not taken for a late request, though one
// was sent just before: the statement is sent once, and its failure is not one
// that a repetition cures. Nor is an operator who cancels, a moment later.
func TestServersOwnCancelIsNotALateRequest(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"nothing", "a cancelled statement"} {
		t.Run("time limit after "+before, func(t *testing.T) {
			t.Parallel()
			db := open(t, dbtest.Postgres(t).URL(), "statement_timeout=300")
			db.SetMaxOpenConns(1)
			pid := backend(t.Context(), t, db)
			if before != "nothing" {
				short(t, db)
			}
			start := time.Now()
			_, err := db.ExecContext(t.Context(), "SELECT pg_sleep(10)")
			require.ErrorContains(t, err, "57014")
			require.Zero(t, pgxDriver(t).Classify(err), err)
			require.Less(t, time.Since(start), 590*time.Millisecond, "sent again")
			require.Equal(t, pid, backend(t.Context(), t, db))

			if before != "nothing" {
				short(t, db)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "SELECT pg_sleep(10)")
			require.ErrorContains(t, err, "57014")
			require.Zero(t, pgxDriver(t).Classify(err), err)
			require.NoError(t, tx.Rollback())
		})
	}
	t.Run("operator", func(t *testing.T) {
		t.Parallel()
		s := dbtest.Postgres(t)
		db, operator := open(t, s.URL(), ""), open(t, s.URL(), "")
		db.SetMaxOpenConns(1)
		pid := backend(t.Context(), t, db)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := db.ExecContext(ctx, "SELECT pg_sleep(10)")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(700*time.Millisecond, func() { _, _ = operator.ExecContext(context.Background(), "SELECT pg_cancel_backend(?)", pid) })
		start := time.Now()
		_, err = db.ExecContext(t.Context(), "SELECT pg_sleep(3)")
		require.ErrorContains(t, err, "57014")
		require.Zero(t, pgxDriver(t).Classify(err), err)
		require.Less(t, time.Since(start), 2*time.Second, "sent again")
	})
}

// What the server says in another language is told by where it comes from in
// its source, once a request has hit.
func TestLateRequestInAnotherLanguage(t *testing.T) {
	t.Parallel()
	request := &pgconn.PgError{Code: "57014", Message: "storniere Anfrage wegen Benutzeraufforderung", Line: 3360}
	limit := &pgconn.PgError{Code: "57014", Message: "storniere Anfrage wegen Zeitüberschreitung der Anfrage", Line: 3341}
	for _, c := range []struct {
		name       string
		own, later *pgconn.PgError
		want       bool
	}{
		{"request that has hit, limit", request, limit, false},
		{"request that has hit, its second signal", request, request, true},
		{"request that has not hit", nil, request, true},
	} {
		require.Equal(t, c.want, pgx.StraysAfter(c.own, c.later), c.name)
	}
}
