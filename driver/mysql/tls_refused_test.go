package mysql_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// A demand is a way to ask for TLS.
type demand struct {
	name     string
	mode     string
	tls      *tls.Config
	verifies bool // The certificate, and not only that there is TLS.
}

// demands are all of them. The configuration is registered by a name, too.
func demands(t *testing.T, own *tls.Config) []demand {
	t.Helper()
	require.NoError(t, gomysql.RegisterTLSConfig(t.Name(), own))
	return []demand{
		{name: "true", mode: "true", verifies: true}, // It knows no authority of ours.
		{name: "registered", mode: t.Name(), verifies: true},
		{name: "skip-verify", mode: "skip-verify"},
		{name: "own", tls: own, verifies: true},
		{name: "own over false", mode: "false", tls: own, verifies: true},
		{name: "own over preferred", mode: "preferred", tls: own, verifies: true},
		{name: "own, unverified", tls: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // What is tested.
	}
}

// ping tries to connect as demanded.
func (d demand) ping(t *testing.T, rawURL string) error {
	t.Helper()
	u := parse(t, rawURL)
	if d.mode != "" {
		u.Query.Set("tls", d.mode)
	}
	db := open(t, u, driver.Options{TLS: d.tls, ConnectTimeout: 10 * time.Second})
	err := db.PingContext(t.Context())
	require.Zero(t, db.Stats().InUse)
	return err
}

// A certificate that has expired is refused by all that verify.
func TestTLSExpired(t *testing.T) {
	t.Parallel()
	server, pool := startTLSUntil(t, time.Now().Add(-time.Minute))
	for _, d := range demands(t, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			err := d.ping(t, server.URL())
			if !d.verifies {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "expired")
			require.NotContains(t, err.Error(), server.Password)
		})
	}
}

// Where TLS is demanded, a server without it gets nothing, and neither does
// somebody in between who says that the server has none.
func TestTLSIsNotStripped(t *testing.T) {
	t.Parallel()
	plain := dbtest.MariaDB(t)
	server, pool := startTLS(t)
	for _, d := range demands(t, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if d.mode != "true" {
				require.NoError(t, d.ping(t, server.URL()), "without the man in the middle")
			}
			addr, heard := strip(t, server.Addr())
			for _, rawURL := range []string{plain.URL(), server.URLVia(addr)} {
				require.ErrorContains(t, d.ping(t, rawURL), "TLS")
			}
			require.Zero(t, heard.Load(), "bytes in plain text")
		})
	}
	t.Run("preferred", func(t *testing.T) { // It is what the man in the middle waits for.
		t.Parallel()
		addr, heard := strip(t, server.Addr())
		require.NoError(t, demand{mode: "preferred"}.ping(t, server.URLVia(addr)))
		require.Positive(t, heard.Load())
	})
}

// capabilitySSL is the bit of a server with TLS, in the upper byte of the two
// that its greeting has of them first.
const capabilitySSL = 0x08

// strip listens for clients of upstream and takes its offer of TLS away. It
// counts what they say nevertheless.
func strip(t *testing.T, upstream string) (addr string, heard *atomic.Int64) {
	t.Helper()
	heard = new(atomic.Int64)
	return listen(t, func(c net.Conn) {
		defer c.Close()
		s, err := net.Dial("tcp", upstream)
		if err != nil {
			return
		}
		defer s.Close()
		greeting := make([]byte, 4)
		if _, err := io.ReadFull(s, greeting); err != nil {
			return
		}
		greeting = append(greeting, make([]byte, int(greeting[0])|int(greeting[1])<<8)...)
		if _, err := io.ReadFull(s, greeting[4:]); err != nil {
			return
		}
		version := 5 + bytes.IndexByte(greeting[5:], 0)
		greeting[version+1+4+8+1+1] &^= capabilitySSL
		_, _ = c.Write(greeting)
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(c, s)
		}()
		_, _ = io.Copy(s, io.TeeReader(c, tally{heard}))
		_ = s.Close()
		<-back
	}), heard
}

// A tally counts the bytes that are written to it.
type tally struct{ n *atomic.Int64 }

func (t tally) Write(p []byte) (int, error) {
	t.n.Add(int64(len(p)))
	return len(p), nil
}
