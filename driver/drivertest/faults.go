package drivertest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/cutproxy"
)

// lostReplies is how many replies each of these tests loses.
const lostReplies = 20

// closedAddr returns an address where nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

func (s suite) testUnreachableIsUnavailable(t *testing.T) {
	if !s.cfg.Network {
		return
	}
	nobody := via(t, s.url(t), closedAddr(t))
	db := s.openURL(t, nobody)
	err := db.PingContext(t.Context())
	require.Error(t, err)
	require.NotZero(t, db.drv.Classify(err)&driver.Unavailable, "%v", err)
}

// testLostReply loses the replies of statements that ran: each is reported as
// unknown, and none is sent twice.
func (s suite) testLostReply(t *testing.T) {
	if !s.cfg.Network {
		return
	}
	direct := s.open(t)
	direct.exec(t, "CREATE TABLE notes (v varchar(100))")
	proxied, proxy := s.viaProxy(t, direct.url)

	for i := range lostReplies {
		proxied.count(t, "notes")
		marker := fmt.Sprintf("marker-%d-end", i)
		proxy.Arm(cutproxy.DropReply, marker)
		_, err := proxied.ExecContext(t.Context(), s.cfg.Insert("notes", "'"+marker+"'"))
		require.Error(t, err)
		require.NotZero(t, proxied.drv.Classify(err)&driver.OutcomeUnknown, "%v", err)
	}
	require.Equal(t, lostReplies, proxy.Cuts())
	require.Equal(t, lostReplies, direct.count(t, "notes"), "statements were lost or sent twice")
	proxied.requireIdle(t)
}

// testLostCommit loses the reply of a COMMIT, and lets one hang.
func (s suite) testLostCommit(t *testing.T) {
	if !s.cfg.Network {
		return
	}
	direct := s.open(t)
	direct.exec(t, "CREATE TABLE notes (v varchar(100))")
	proxied, proxy := s.viaProxy(t, direct.url)

	for _, mode := range []cutproxy.Mode{cutproxy.DropReply, cutproxy.HangReply} {
		tx, err := proxied.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO notes (v) VALUES ('once')")
		require.NoError(t, err)

		proxy.Arm(mode, "commit")
		start := time.Now()
		// A driver that can ask the server afterwards may know that it was done.
		if err = tx.Commit(); err != nil {
			require.NotZero(t, proxied.drv.Classify(err)&driver.OutcomeUnknown, "%v", err)
		}
		require.Less(t, time.Since(start), 6*time.Second, "a COMMIT without an answer has to end")
	}
	require.Equal(t, 2, direct.count(t, "notes"))
	proxied.requireIdle(t)
	proxied.count(t, "notes")
}

// viaProxy opens the same database through a proxy, on one connection.
func (s suite) viaProxy(t *testing.T, u *driver.URL) (database, *cutproxy.Proxy) {
	t.Helper()
	proxy := cutproxy.New(t, net.JoinHostPort(u.Host, strconv.Itoa(u.Port)))
	proxied := via(t, u, proxy.Addr())
	db := s.openURL(t, proxied)
	db.SetMaxOpenConns(1)
	return db, proxy
}

// testErrorsHideThePassword uses a wrong password that is easy to find again.
func (s suite) testErrorsHideThePassword(t *testing.T) {
	if !s.cfg.Network {
		return
	}
	const secret = "M4rkerSecret"
	u := s.url(t)
	u.SetPassword(secret)
	drv, err := driver.Lookup(u)
	require.NoError(t, err)
	connector, err := drv.Connector(u, options())
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = connector.Connect(ctx)
	require.Error(t, err)
	for _, form := range []string{"%v", "%+v", "%#v"} {
		require.False(t, strings.Contains(fmt.Sprintf(form, err), secret), "the error shows the password")
	}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", connector, connector, connector), secret)
}
