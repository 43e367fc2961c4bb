package pgx_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"os"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

type write struct {
	bun.BaseModel `bun:"table:writes"`

	ID int64 `bun:",pk,autoincrement"`
	N  int   `bun:",notnull"`
}

// proxied returns a pool on a fresh database with a table of writes, through a
// proxy, and another one beside the proxy.
func proxied(t *testing.T, query string) (db, beside *bun.DB, p *cutproxy.Proxy) {
	t.Helper()
	s := dbtest.Postgres(t)
	p = cutproxy.New(t, s.Addr())
	beside = open(t, s.URL(), "")
	exec(t, beside, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)")
	return open(t, s.URLVia(p.Addr()), query), beside, p
}

// insertions are the ways to insert a row. On all of them pgx's own connections
// send nothing but the statement itself.
var insertions = []struct {
	name   string
	insert func(ctx context.Context, db bun.IDB, n int) error
}{
	{name: "raw", insert: func(ctx context.Context, db bun.IDB, n int) error {
		_, err := db.ExecContext(ctx, "INSERT INTO writes (n) VALUES (?)", n)
		return err
	}},
	{name: "returning null", insert: func(ctx context.Context, db bun.IDB, n int) error {
		_, err := db.NewInsert().Model(&write{N: n}).Returning("NULL").Exec(ctx)
		return err
	}},
	{name: "returning id", insert: func(ctx context.Context, db bun.IDB, n int) error {
		_, err := db.NewInsert().Model(&write{N: n}).Exec(ctx)
		return err
	}},
}

func TestLostReply(t *testing.T) {
	t.Parallel()
	const writes = 67 // On each of the three ways: 201 in all.
	for _, way := range insertions {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			for n := range writes {
				p.Arm(cutproxy.DropReply, "insert into")
				err := way.insert(t.Context(), db, n)
				require.Error(t, err)
				require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
			}
			require.Equal(t, writes, p.Cuts())
			require.Equal(t, writes, count(t, beside, "writes"), "rows: each statement was sent once")
			var different int
			require.NoError(t, beside.NewRaw("SELECT count(DISTINCT n) FROM writes").Scan(t.Context(), &different))
			require.Equal(t, writes, different)
		})
	}
}

func TestLostReplyInEveryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "default_query_exec_mode="+mode)
			for i, way := range insertions {
				p.Arm(cutproxy.DropReply, "insert into")
				err := way.insert(t.Context(), db, i)
				require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), "%s: %v", way.name, err)
				p.Disarm()
			}
			// The cut may have fallen on what only describes the statement.
			require.LessOrEqual(t, count(t, beside, "writes"), len(insertions))
		})
	}
}

func TestLostRequest(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	for i, way := range insertions {
		p.Arm(cutproxy.DropRequest, "insert into")
		err := way.insert(t.Context(), db, i)
		require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), "%s: %v", way.name, err)
	}
	require.Zero(t, count(t, beside, "writes"))
	exec(t, db, "INSERT INTO writes (n) VALUES (1)")
}

func TestLostReplyOfPreparedStatement(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	db.SetMaxOpenConns(1)
	run := map[string]func(*sql.Stmt) error{
		"exec": func(s *sql.Stmt) error {
			_, err := s.ExecContext(t.Context(), 1)
			return err
		},
		"query": func(s *sql.Stmt) error {
			var id int64
			return s.QueryRowContext(t.Context(), 1).Scan(&id)
		},
	}
	for name, run := range run {
		s, err := db.DB.PrepareContext(t.Context(), "INSERT INTO writes (n) VALUES ($1) RETURNING id")
		require.NoError(t, err)
		p.Arm(cutproxy.DropReply, "stmt_") // So pgx calls it on the server.
		err = run(s)
		require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), "%s: %v", name, err)
		require.NoError(t, s.Close()) //nolint:sqlclosecheck // In a loop.
	}
	require.Equal(t, len(run), count(t, beside, "writes"))
}

func TestLostReplyAmongRows(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	rows, err := db.QueryContext(t.Context(),
		"INSERT INTO writes (n) SELECT i FROM generate_series(1, 200000) AS i RETURNING n, repeat('x', 100)")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	p.Cut()
	for rows.Next() { // To the end of what has come.
		continue
	}
	require.Error(t, rows.Err())
	require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(rows.Err()), rows.Err())
}

func TestLostReplyInTransaction(t *testing.T) {
	t.Parallel()
	for _, way := range insertions {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			db, beside, p := proxied(t, "")
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			p.Arm(cutproxy.DropReply, "insert into")
			lost := driver.Unavailable | driver.DoomsTx
			err = way.insert(t.Context(), tx, 1)
			require.Equal(t, lost, pgxDriver(t).Classify(err), err)
			err = way.insert(t.Context(), tx, 2)
			require.Equal(t, lost, pgxDriver(t).Classify(err), err)
			err = tx.Commit()
			require.Equal(t, lost, pgxDriver(t).Classify(err), err)
			require.Zero(t, count(t, beside, "writes"))
			require.Zero(t, db.Stats().InUse)
		})
	}
}

// What changes nothing is sent again, on another connection.
func TestLostReplyOfHarmlessRequests(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	db.SetMaxOpenConns(1)
	require.NoError(t, db.PingContext(t.Context()))

	p.Arm(cutproxy.DropReply, "-- ping")
	err := db.PingContext(t.Context()) // It is for the caller to know.
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
	require.NotErrorIs(t, err, sqldriver.ErrBadConn)

	p.Arm(cutproxy.DropReply, "begin")
	require.NoError(t, db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO writes (n) VALUES (1)")
		return err
	}))
	p.Arm(cutproxy.DropReply, "stmt_")
	s, err := db.PrepareContext(t.Context(), "INSERT INTO writes (n) VALUES ($1)")
	require.NoError(t, err)
	_, err = s.ExecContext(t.Context(), 2)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, 3, p.Cuts())
	require.Equal(t, 2, count(t, beside, "writes"))
}

// Connections that the server closed while they were idle are replaced before
// anything is sent on them.
func TestIdleConnectionsKilled(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	admin, db := open(t, s.URL(), ""), open(t, s.URL(), "application_name=victim")
	exec(t, admin, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)")
	var conns []bun.Conn
	for range 5 {
		c, err := db.Conn(t.Context())
		require.NoError(t, err)
		exec(t, c, "SELECT 1")
		conns = append(conns, c)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	require.Equal(t, 5, db.Stats().Idle)
	exec(t, admin, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'victim'")
	for n := range 30 {
		exec(t, db, fmt.Sprintf("INSERT INTO writes (n) VALUES (%d)", n))
	}
	require.Equal(t, 30, count(t, admin, "writes"))
}

// After a slow write pgx leaves a reader on the idle connection. A look at its
// socket does not wait for that one.
func TestIdleConnectionWithReader(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Raw(func(dc any) error {
		inner, ok := dc.(interface{ Conn() *jackc.Conn })
		require.True(t, ok)
		nc := inner.Conn().PgConn().Conn()
		read := make(chan error, 1)
		go func() {
			_, err := nc.Read(make([]byte, 1))
			read <- err
		}()
		time.Sleep(10 * tick)
		reset := make(chan error, 1)
		go func() {
			r, _ := dc.(sqldriver.SessionResetter)
			reset <- r.ResetSession(t.Context())
		}()
		select {
		case err := <-reset:
			require.NoError(t, err)
		case <-time.After(waitFor):
			t.Error("it waits")
		}
		require.NoError(t, nc.SetReadDeadline(time.Now()))
		require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
		return nc.SetReadDeadline(time.Time{})
	}))
	exec(t, c, "SELECT 1")
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	s := dbtest.StartPostgres(t)
	db := open(t, s.URL(), "")
	exec(t, db, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)")
	s.Stop()
	_, err := db.ExecContext(t.Context(), "INSERT INTO writes (n) VALUES (1)")
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
	require.NotContains(t, err.Error(), s.Password)
	s.Start()
	exec(t, db, "INSERT INTO writes (n) VALUES (2)")
	require.Equal(t, 1, count(t, db, "writes"))
}

// A pooler that has lost the server says so in the server's name. It cannot
// know more of the outcome than we do.
func TestPoolerLosesServer(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"INSERT", "commit"} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			s := dbtest.Postgres(t)
			beside := open(t, s.URL(), "")
			exec(t, beside, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)")
			r := &relay{upstream: s.Addr(), loseAt: marker}
			db := open(t, s.URLVia(r.start(t, "127.0.0.1")), "")
			var err error
			if marker == "commit" {
				tx, berr := db.BeginTx(t.Context(), nil)
				require.NoError(t, berr)
				exec(t, tx, "INSERT INTO writes (n) VALUES (1)")
				err = tx.Commit()
			} else {
				_, err = db.ExecContext(t.Context(), "INSERT INTO writes (n) VALUES (1)")
			}
			require.ErrorContains(t, err, "server conn crashed?")
			require.Equal(t, driver.OutcomeUnknown, pgxDriver(t).Classify(err), err)
			require.Equal(t, 1, count(t, beside, "writes"))
		})
	}
}

// A connection that its user has closed is not used again.
func TestClosedByItsUser(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Raw(func(dc any) error {
		inner, ok := dc.(interface{ Conn() *jackc.Conn })
		require.True(t, ok)
		return inner.Conn().Close(t.Context())
	}))
	_, err = c.ExecContext(t.Context(), "SELECT 1")
	require.ErrorIs(t, err, sqldriver.ErrBadConn)
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err))
	exec(t, db, "SELECT 1")
	require.Equal(t, 1, db.Stats().OpenConnections)
}

// A statement that is killed on the server is not done, and not sent again.
func TestBackendTerminated(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	admin, db := open(t, s.URL(), ""), open(t, s.URL(), "application_name=victim")
	exec(t, admin, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint NOT NULL)")
	done := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(t.Context(), "INSERT INTO writes (n) SELECT 1 FROM pg_sleep(30)")
		done <- err
	}()
	require.Eventually(t, func() bool {
		var n int
		err := admin.NewRaw("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "+
			"WHERE application_name = 'victim' AND wait_event = 'PgSleep'").Scan(t.Context(), &n)
		return err == nil && n == 1
	}, waitFor, tick)
	err := <-done
	require.Equal(t, driver.Unavailable|driver.DoomsTx, pgxDriver(t).Classify(err), err)
	require.Zero(t, count(t, admin, "writes"))
	require.NotErrorIs(t, err, sql.ErrConnDone)
}
