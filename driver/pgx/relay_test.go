package pgx_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// cancelCode begins the one message of a connection that asks the server to
// cancel a statement.
const cancelCode = 80877102

// A relay forwards connections to a server, but for what its fields say. They
// are set before the first connection.
type relay struct {
	upstream string
	moved    string        // Where connections after the first go, unless empty.
	hold     chan struct{} // Connections after the first wait until it is closed, unless nil.
	delay    time.Duration // Before each connection is forwarded.

	// Requests to cancel reach the server this late. The client sees the
	// answer, the end of the connection, at once or late, too.
	cancelDelay time.Duration
	answerEarly bool
	signal      func() // Is called in their place, unless it is nil.

	// A message with this in it reaches the server. Its answer does not reach
	// the client, but what PgBouncer says when it has lost the server.
	loseAt string

	conns        atomic.Int64
	gone         atomic.Int64 // Connections that have ended.
	lost         atomic.Bool
	cancels      atomic.Int64
	ln           net.Listener
	running      sync.WaitGroup
	mu           sync.Mutex // Protects open and closed.
	open         []net.Conn
	closed       bool
	startMessage atomic.Pointer[[]byte] // Of the last connection that was no request.
}

// start listens on host and returns the address.
func (r *relay) start(t *testing.T, host string) string {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	r.ln = ln
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return ln.Addr().String()
}

func (r *relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.serve(c) })
	}
}

func (r *relay) serve(client net.Conn) {
	defer r.gone.Add(1)
	defer client.Close()
	if !r.keep(client) {
		return
	}
	first := make([]byte, 4096)
	n, err := io.ReadAtLeast(client, first, 8)
	if err != nil {
		return
	}
	upstream := r.upstream
	if binary.BigEndian.Uint32(first[4:]) == cancelCode {
		r.cancels.Add(1)
		if r.answerEarly {
			client.Close()
		}
		time.Sleep(r.cancelDelay)
		if r.signal != nil {
			r.signal()
			return
		}
	} else {
		if r.conns.Add(1) > 1 {
			upstream = cmp.Or(r.moved, upstream)
			if r.hold != nil {
				<-r.hold
			}
		}
		m := first[:n]
		r.startMessage.Store(&m)
		time.Sleep(r.delay)
	}
	server, err := net.Dial("tcp", upstream)
	if err != nil || !r.keep(server) {
		return
	}
	defer server.Close()
	if _, err := server.Write(first[:n]); err != nil {
		return
	}
	r.running.Go(func() {
		r.replies(client, server)
		client.Close()
	})
	if r.answerEarly && binary.BigEndian.Uint32(first[4:]) == cancelCode {
		_, _ = io.Copy(io.Discard, server)
		return
	}
	r.requests(client, server)
}

// requests forwards what the client sends.
func (r *relay) requests(client, server net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := client.Read(b)
		if r.loseAt != "" && bytes.Contains(b[:n], []byte(r.loseAt)) {
			r.lost.Store(true)
		}
		if _, werr := server.Write(b[:n]); werr != nil || err != nil {
			return
		}
	}
}

// replies forwards what the server sends.
func (r *relay) replies(client, server net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := server.Read(b)
		if n > 0 && r.lost.Load() {
			m, _ := (&pgproto3.ErrorResponse{
				Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "08P01", Message: "server conn crashed?",
			}).Encode(nil)
			_, _ = client.Write(m)
			return
		}
		if _, werr := client.Write(b[:n]); werr != nil || err != nil {
			return
		}
	}
}

// keep remembers a connection, to close it in the end.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, c)
	if r.closed {
		c.Close()
	}
	return !r.closed
}

func (r *relay) close() {
	r.ln.Close()
	r.mu.Lock()
	r.closed = true
	for _, c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
