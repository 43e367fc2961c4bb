package mysql_test

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// A connection that comes back with a transaction open would swallow the next
// borrower's writes.
func TestOpenTransaction(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, before, query string }{
		{"begin", "", "BEGIN"},
		{"start transaction", "", "/* why */ START TRANSACTION"},
		{"autocommit", "", "SET autocommit = 0"},
		{"xa", "", "XA START 'x'"},
		{"procedure", "CREATE PROCEDURE p() BEGIN START TRANSACTION; END", "CALL p()"},
		{"chain", "", "COMMIT AND CHAIN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := fresh(t)
			run(t, db, createItems)
			if tt.before != "" {
				run(t, db, tt.before)
			}
			db.SetMaxOpenConns(1)
			c := pinned(t, db)
			id := value[int](t, c, "SELECT CONNECTION_ID()")
			run(t, c, tt.query)
			require.NoError(t, c.Close())

			run(t, db, "INSERT INTO items (name) VALUES ('kept')")
			require.NotEqual(t, id, value[int](t, db, "SELECT CONNECTION_ID()"))
			db.SetMaxIdleConns(0) // What is not committed is gone now.
			require.Equal(t, 1, value[int](t, db, "SELECT count(*) FROM items"))
		})
	}
}

// Connections without one are kept.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	db.SetMaxOpenConns(1)
	id := value[int](t, db, "SELECT CONNECTION_ID()")
	require.NoError(t, onConn(t.Context(), db, "BEGIN", "COMMIT"))
	require.NoError(t, db.RunInTx(t.Context(), nil, func(context.Context, bun.Tx) error { return nil }))
	_, err := db.ExecContext(t.Context(), "NO SUCH STATEMENT")
	require.Error(t, err)
	require.Equal(t, id, value[int](t, db, "SELECT CONNECTION_ID()"))
}

// Idle connections that the server has closed are not noticed by anyone.
func TestIdleConnectionsKilled(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	other := fresh(t)
	db.SetMaxIdleConns(5)
	run(t, db, createItems)
	var conns []bun.Conn
	for range 5 {
		conns = append(conns, pinned(t, db))
	}
	for _, c := range conns {
		id := value[int](t, c, "SELECT CONNECTION_ID()")
		require.NoError(t, c.Close())
		_, err := other.ExecContext(t.Context(), "KILL ?", id)
		require.NoError(t, err)
	}
	for range 10 {
		run(t, db, "INSERT INTO items (name) VALUES ('x')")
	}
	require.Equal(t, 10, value[int](t, db, "SELECT count(*) FROM items"))
}

func TestUnwrap(t *testing.T) {
	t.Parallel()
	require.NoError(t, pinned(t, fresh(t)).Raw(func(c any) error {
		u, ok := c.(unwrapper)
		require.True(t, ok)
		require.Implements(t, (*sqldriver.Pinger)(nil), u.Unwrap())
		require.NotSame(t, c, u.Unwrap())
		return nil
	}))
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newLog() (*syncBuffer, *slog.Logger) {
	b := new(syncBuffer)
	return b, slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// What go-sql-driver would print to stderr goes to the logger.
func TestLogger(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	log, logger := newLog()
	db := open(t, parse(t, server.URL()), driver.Options{Bind: "auth", Logger: logger})
	c := pinned(t, db)
	_, err := c.ExecContext(t.Context(), "KILL CONNECTION_ID()")
	require.Error(t, err)
	_, err = c.ExecContext(t.Context(), "DO 1")
	require.Error(t, err)
	require.Contains(t, log.String(), "level=DEBUG msg=\"mysql: packets.go")
	require.Contains(t, log.String(), "bind=auth")
}

// A server that accepts and never speaks is given up.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	silent := listen(t, nil)
	tests := []struct {
		name    string
		options driver.Options
		url     string
	}{
		{"option", driver.Options{ConnectTimeout: 200 * time.Millisecond}, "mysql://u:S3cr3tPw@" + silent + "/db"},
		{"parameter", driver.Options{ConnectTimeout: time.Hour}, "mysql://u:S3cr3tPw@" + silent + "/db?timeout=200ms"},
		{"seconds", driver.Options{ConnectTimeout: time.Hour}, "mysql://u:S3cr3tPw@" + silent + "/db?connect_timeout=0.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, parse(t, tt.url), tt.options)
			begun := time.Now()
			err := within(t, func() error { return db.PingContext(t.Context()) })
			require.Less(t, time.Since(begun), time.Second)
			require.Equal(t, driver.Unavailable, ours(t).Classify(err), "%v", err)
			require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's has not ended")
			require.ErrorContains(t, err, "mysql: connect to "+silent+": no connection within 200ms")
			require.NotContains(t, err.Error(), "S3cr3tPw")
		})
	}
}

func TestConnectContext(t *testing.T) {
	t.Parallel()
	db := open(t, parse(t, "mysql://u@"+listen(t, nil)+"/db"), driver.Options{ConnectTimeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := within(t, func() error { return db.PingContext(ctx) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, ours(t).Classify(err))
}

func TestConnectErrors(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	wrongPassword, noDatabase := parse(t, server.URL()), parse(t, server.URL())
	wrongPassword.SetPassword("S3cr3tPw")
	noDatabase.Database = "no_such_database"
	tests := []struct {
		name  string
		url   *driver.URL
		class driver.Class
		text  string
	}{
		{"refused", parse(t, "mysql://u:S3cr3tPw@127.0.0.1:1/db"), driver.Unavailable, "connection refused"},
		{"no host", parse(t, "mysql://u:S3cr3tPw@no-such-host.invalid/db"), driver.Unavailable, "no-such-host.invalid"},
		{"hangs up", parse(t, "mysql://u:S3cr3tPw@"+listen(t, func(c net.Conn) { _ = c.Close() })+"/db"), driver.Unavailable, ""},
		{"wrong password", wrongPassword, 0, "Access denied"},
		{"no database", noDatabase, 0, "no_such_database"},
		{"no TLS", parse(t, server.URL(), "tls", "true"), 0, "TLS"},
		{"unknown variable", parse(t, server.URL(), "no_such_variable", "1"), 0, "no_such_variable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, tt.url, driver.Options{ConnectTimeout: 5 * time.Second})
			err := db.PingContext(t.Context())
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, tt.class, ours(t).Classify(err), "%v", err)
			require.NotContains(t, err.Error(), "S3cr3tPw")
			require.NotContains(t, err.Error(), server.Password)
		})
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	if server.Socket() == "" {
		dbtest.Skip(t, "needs the socket of the MariaDB server")
	}
	u := parse(t, server.URL(), "unix_socket", server.Socket())
	u.Host, u.Port = "no-such-host.invalid", 1
	db := open(t, u, driver.Options{})
	require.True(t, strings.HasPrefix(value[string](t, db, "SELECT SUBSTRING_INDEX(host, ':', 1) FROM "+
		"information_schema.processlist WHERE id = CONNECTION_ID()"), "localhost"))
	// The connection for the KILL goes there too.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, "DO SLEEP(2)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, ours(t).Classify(err))
}
