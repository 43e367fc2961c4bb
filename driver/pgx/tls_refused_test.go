package pgx_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// A demand is a way to ask for TLS.
type demand struct {
	name     string
	query    url.Values
	tls      *tls.Config
	verifies bool // The certificate, and not only that there is TLS.
}

// demands are all of them, with a file and a pool of the authority.
func demands(ca string, own *tls.Config) []demand {
	return []demand{
		{name: "require", query: url.Values{"sslmode": {"require"}}},
		{name: "require with a CA", query: url.Values{"sslmode": {"require"}, "sslrootcert": {ca}}, verifies: true},
		{name: "verify-ca", query: url.Values{"sslmode": {"verify-ca"}, "sslrootcert": {ca}}, verifies: true},
		{name: "verify-full", query: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}, verifies: true},
		{name: "own", tls: own, verifies: true},
		{name: "own over the URL", query: url.Values{"sslmode": {"disable"}}, tls: own, verifies: true},
		{name: "own over prefer", query: url.Values{"sslmode": {"prefer"}}, tls: own, verifies: true},
		{name: "own, unverified", tls: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // What is tested.
	}
}

// ping tries to connect as demanded.
func (d demand) ping(t *testing.T, rawURL string) error {
	t.Helper()
	c, err := connector(t, rawURL, d.query.Encode(), driver.Options{TLS: d.tls, ConnectTimeout: 10 * time.Second})
	require.NoError(t, err)
	db := openConnector(t, c)
	err = db.PingContext(t.Context())
	require.Zero(t, db.Stats().InUse)
	return err
}

// A certificate that has expired is refused by all that verify.
func TestTLSExpired(t *testing.T) {
	t.Parallel()
	s, ca, pool := secureServerUntil(t, time.Now().Add(-time.Minute), "127.0.0.1")
	for _, d := range demands(ca, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			err := d.ping(t, s.URL())
			if !d.verifies {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "expired")
			require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
			require.NotContains(t, err.Error(), s.Password)
		})
	}
}

// Where TLS is demanded, a server without it gets nothing, and neither does
// somebody in between who says that the server has none.
func TestTLSIsNotStripped(t *testing.T) {
	t.Parallel()
	plain := dbtest.Postgres(t)
	s, ca, pool := secureServer(t, "127.0.0.1")
	for _, d := range demands(ca, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, d.ping(t, s.URL()), "without the man in the middle")
			m := strip(t, s.Addr())
			for _, rawURL := range []string{plain.URL(), s.URLVia(m.addr)} {
				err := d.ping(t, rawURL)
				require.ErrorContains(t, err, "refused TLS")
				require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
			}
			require.Positive(t, m.asked.Load())
			require.Zero(t, m.heard.Load(), "bytes in plain text")
		})
	}
	t.Run("prefer", func(t *testing.T) { // It is what the man in the middle waits for.
		t.Parallel()
		m := strip(t, s.Addr())
		require.NoError(t, demand{query: url.Values{"sslmode": {"prefer"}}}.ping(t, s.URLVia(m.addr)))
		require.Positive(t, m.heard.Load())
	})
}

// sslRequest is what a client begins with that wants TLS.
const sslRequest = 80877103

// A stripper answers for a server that it has no TLS.
type stripper struct {
	addr  string
	asked atomic.Int64 // For TLS.
	heard atomic.Int64 // Bytes that clients sent in plain text.
}

func strip(t *testing.T, upstream string) *stripper {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &stripper{addr: ln.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.serve(c, upstream) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
	return m
}

// serve serves one connection to its end.
func (m *stripper) serve(c net.Conn, upstream string) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // It does not fail.
	s, err := new(net.Dialer).Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer s.Close()
	first := make([]byte, 8)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	if binary.BigEndian.Uint32(first[4:]) == sslRequest {
		m.asked.Add(1)
		_, _ = c.Write([]byte{'N'})
	} else {
		m.heard.Add(int64(len(first)))
		_, _ = s.Write(first)
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, s)
	}()
	_, _ = io.Copy(s, io.TeeReader(c, tally{&m.heard}))
	_ = s.Close()
	<-back
}

// A tally counts the bytes that are written to it.
type tally struct{ n *atomic.Int64 }

func (t tally) Write(p []byte) (int, error) {
	t.n.Add(int64(len(p)))
	return len(p), nil
}
