package pgx_test

import (
	"bytes"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/dbtest"
)

// A connection that its caller could not wait for serves the next.
func TestConnectIsFinishedInBackground(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	r := &relay{upstream: s.Addr(), delay: 150 * time.Millisecond}
	db := open(t, s.URLVia(r.start(t, "127.0.0.1")), "sslmode=disable")
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := db.PingContext(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, pgxDriver(t).Classify(err), err)
	}
	time.Sleep(400 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.NoError(t, db.PingContext(ctx))
	require.EqualValues(t, 1, r.conns.Load(), "and not one for each caller")
}

func TestConnectServesThoseWhoWait(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	r := &relay{upstream: s.Addr(), delay: 100 * time.Millisecond}
	db := open(t, s.URLVia(r.start(t, "127.0.0.1")), "sslmode=disable")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%3)*80*time.Millisecond+20*time.Millisecond)
			defer cancel()
			_ = db.PingContext(ctx)
		})
	}
	wg.Wait()
	require.LessOrEqual(t, r.conns.Load(), int64(15), "no more than the pool may open")
	require.NoError(t, db.PingContext(t.Context()))
}

func TestSpareConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	admin := open(t, s.URL(), "")
	abandon := func(c sqldriver.Connector) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := c.Connect(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	connections := func(name string) int {
		var n int
		require.NoError(t, admin.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE application_name = ?", name).Scan(t.Context(), &n))
		return n
	}
	r := &relay{upstream: s.Addr(), delay: 20 * time.Millisecond}
	addr := r.start(t, "127.0.0.1")
	for _, end := range []struct {
		name string
		end  func(sqldriver.Connector) error
	}{
		{name: "time", end: func(sqldriver.Connector) error { return nil }},
		{name: "close", end: closeConnector},
	} {
		c, err := connector(t, s.URLVia(addr), "application_name="+end.name, driver.Options{})
		require.NoError(t, err)
		if end.name == "time" {
			pgx.SetSpareLife(c, time.Second)
		}
		abandon(c)
		require.Eventually(t, func() bool { return connections(end.name) == 1 }, waitFor, tick, end.name)
		require.NoError(t, end.end(c))
		require.Eventually(t, func() bool { return connections(end.name) == 0 }, waitFor, tick, end.name)
		require.NoError(t, closeConnector(c))
		_, err = c.Connect(t.Context())
		require.ErrorContains(t, err, "closed")
	}
	// One that the server has closed is not given out.
	c, err := connector(t, s.URLVia(addr), "application_name=killed", driver.Options{})
	require.NoError(t, err)
	abandon(c)
	require.Eventually(t, func() bool { return connections("killed") == 1 }, waitFor, tick)
	time.Sleep(50 * time.Millisecond)
	exec(t, admin, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'killed'")
	exec(t, openConnector(t, c), "SELECT 1")
}

func closeConnector(c sqldriver.Connector) error {
	closer, ok := c.(io.Closer)
	if !ok {
		return errors.New("not an io.Closer")
	}
	return closer.Close()
}

// Closing the pool ends connections under way, and those who wait for them.
func TestCloseWhileConnecting(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // Nobody accepts.
	require.NoError(t, err)
	defer ln.Close()
	c, err := connector(t, "postgresql://u@"+ln.Addr().String()+"/d", "", driver.Options{})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := c.Connect(context.Background())
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	require.NoError(t, closeConnector(c))
	require.ErrorContains(t, <-done, "closed")
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // Nobody accepts.
	require.NoError(t, err)
	defer ln.Close()
	c, err := connector(t, "postgresql://u:"+marker+"@"+ln.Addr().String()+"/d", "sslmode=disable",
		driver.Options{ConnectTimeout: 150 * time.Millisecond})
	require.NoError(t, err)
	start := time.Now()
	err = openConnector(t, c).PingContext(t.Context())
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
	require.Less(t, time.Since(start), 5*time.Second)
	require.NotContains(t, err.Error(), marker)
}

func TestConnectErrors(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free.Close()
	for name, raw := range map[string]string{
		"password": strings.Replace(s.URL(), ":"+s.Password+"@", ":"+marker+"@", 1),
		"user":     strings.Replace(s.URL(), "//"+s.User+":"+s.Password, "//nobody:"+marker, 1),
		"database": strings.Replace(s.URL(), "/"+s.Database, "/nowhere", 1),
		"refused":  "postgresql://u:" + marker + "@" + free.Addr().String() + "/d",
		"no TLS":   strings.Replace(s.URL(), ":"+s.Password+"@", ":"+marker+"@", 1) + "?sslmode=verify-full",
		"name":     "postgresql://u:" + marker + "@does-not-exist.invalid/d",
	} {
		err := open(t, raw, "").PingContext(t.Context())
		require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), "%s: %v", name, err)
		require.True(t, strings.HasPrefix(err.Error(), "pgx: "), err)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
			require.NotContains(t, text, marker)
			require.NotContains(t, text, s.Password)
		}
		var cerr *pgconn.ConnectError
		require.ErrorAs(t, err, &cerr, name)
		require.Empty(t, cerr.Config.Password, "not in a field either")
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	s := dbtest.StartPostgres(t)
	query := url.Values{"host": {s.Socket()}, "port": {strconv.Itoa(s.Port)}}
	db := open(t, "postgresql://"+s.User+":"+s.Password+"@/"+s.Database, query.Encode())
	db.SetMaxOpenConns(1)
	pid := backend(t.Context(), t, db)
	var local bool
	require.NoError(t, db.NewRaw("SELECT inet_server_addr() IS NULL").Scan(t.Context(), &local))
	require.True(t, local)
	// A request to cancel takes the socket too.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, "SELECT pg_sleep(10)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, pid, backend(t.Context(), t, db))
}

func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free.Close()
	hosts := url.Values{"host": {free.Addr().String(), s.Addr()}, "target_session_attrs": {"read-write"}}
	exec(t, open(t, "postgresql://"+s.User+":"+s.Password+"@/"+s.Database, hosts.Encode()), "SELECT 1")
	hosts.Set("target_session_attrs", "standby")
	err = open(t, "postgresql://"+s.User+":"+s.Password+"@/"+s.Database, hosts.Encode()).PingContext(t.Context())
	require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
}

// Behind PgBouncer a connection may have no run-time parameters and no session
// state: another client gets the server's connection after each transaction.
func TestNoSessionState(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	s := dbtest.Postgres(t)
	r := &relay{upstream: s.Addr()}
	db := open(t, s.URLVia(r.start(t, "127.0.0.1")), "sslmode=disable")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE writes (id bigserial PRIMARY KEY, n bigint)")
	for n := range 5 {
		_, err := db.NewInsert().Model(&write{N: n}).Exec(t.Context())
		require.NoError(t, err)
		require.NoError(t, db.NewSelect().Model(&write{}).Where("n = ?", n).Scan(t.Context()))
	}
	fields := strings.Split(strings.TrimRight(string((*r.startMessage.Load())[8:]), "\x00"), "\x00")
	require.Len(t, fields, 6, fields)
	require.ElementsMatch(t, []string{"client_encoding", "UTF8", "user", s.User, "database", s.Database}, fields)
	require.Zero(t, count(t, db, "pg_prepared_statements"))
}

// The pgx connection can be had for what database/sql has no words for.
func TestRawConnection(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE writes (n bigint)")
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Raw(func(dc any) error {
		c, ok := dc.(interface{ Conn() *jackc.Conn })
		require.True(t, ok)
		_, err := c.Conn().CopyFrom(t.Context(), jackc.Identifier{"writes"}, []string{"n"}, jackc.CopyFromRows([][]any{{1}, {2}}))
		return err
	}))
	require.NoError(t, c.Close())
	require.Equal(t, 2, count(t, db, "writes"))
	require.NotNil(t, db.Driver())
}

// Values go both ways as with pgx's own database/sql driver.
func TestValues(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE TABLE v (i bigint, f float8, s text, b bytea, ok bool, at timestamptz, none text)")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	res, err := db.DB.ExecContext(t.Context(), "INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6, $7)", 1, 2.5, "x", []byte{0, 1}, true, at, nil)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	var (
		i    int64
		f    float64
		s    string
		b    []byte
		ok   bool
		got  time.Time
		none sql.NullString
	)
	st, err := db.DB.PrepareContext(t.Context(), "SELECT * FROM v WHERE i = $1")
	require.NoError(t, err)
	defer st.Close()
	require.NoError(t, st.QueryRowContext(t.Context(), 1).Scan(&i, &f, &s, &b, &ok, &got, &none))
	require.Equal(t, []any{int64(1), 2.5, "x", []byte{0, 1}, true, false}, []any{i, f, s, b, ok, none.Valid})
	require.True(t, at.Equal(got))
	require.ErrorIs(t, db.DB.QueryRowContext(t.Context(), "SELECT 1 WHERE false").Scan(&i), sql.ErrNoRows)
	rows, err := db.DB.QueryContext(t.Context(), "SELECT * FROM v")
	require.NoError(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, "INT8", types[0].DatabaseTypeName())
	require.NoError(t, rows.Err())
}

// A connection that others can read or forge is warned about, once.
func TestInsecureWarning(t *testing.T) {
	t.Parallel()
	host := otherAddress(t)
	s := dbtest.Postgres(t)
	r := &relay{upstream: s.Addr()}
	addr := r.start(t, host)
	for _, c := range []struct {
		name, url string
		want      int
	}{
		{name: "loopback", url: s.URL(), want: 0},
		{name: "other host", url: s.URLVia(addr), want: 1},
	} {
		var buf bytes.Buffer
		co, err := connector(t, c.url, "", driver.Options{Bind: "auth", Logger: slog.New(slog.NewTextHandler(&buf, nil))})
		require.NoError(t, err)
		require.Empty(t, buf.String())
		db := openConnector(t, co)
		db.SetMaxIdleConns(0)
		exec(t, db, "SELECT 1", "SELECT 1")
		require.Equal(t, c.want, strings.Count(buf.String(), "without verified TLS"), "%s: %s", c.name, &buf)
		if c.want > 0 {
			require.Contains(t, buf.String(), "bind=auth")
			require.Contains(t, buf.String(), host)
			require.NotContains(t, buf.String(), s.Password)
		}
	}
}

// otherAddress returns an address of this machine that is not a loopback one.
func otherAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	dbtest.Skip(t, "needs an address that is not a loopback one")
	return ""
}

// The methods of database/sql/driver without a context are there too.
func TestOldMethods(t *testing.T) {
	t.Parallel()
	c, err := connector(t, dbtest.Postgres(t).URL(), "", driver.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, closeConnector(c)) }()
	conn, err := c.Connect(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	tx, err := conn.Begin() //nolint:staticcheck // It is what is tested.
	require.NoError(t, err)
	s, err := conn.Prepare("SELECT $1::int")
	require.NoError(t, err)
	require.Equal(t, 1, s.NumInput())
	require.NoError(t, s.Close())
	_, err = conn.Prepare("SELECT nonsense")
	require.ErrorContains(t, err, "42703")
	require.NoError(t, tx.Rollback())
	s, err = conn.Prepare("SELECT 1")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, s.Close(), "it went with its connection")
}

func TestDriver(t *testing.T) {
	t.Parallel()
	d := pgxDriver(t)
	require.NotSame(t, d.Dialect(), d.Dialect())
	require.Contains(t, driver.Drivers(), "postgresql+pgx")
	require.Zero(t, d.Classify(nil))
	require.Zero(t, d.Classify(errors.New("other")))
}
