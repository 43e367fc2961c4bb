package survive_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A relay forwards TCP connections, as a virtual address does that moves from
// one server to another. It does what Toxiproxy cannot: new connections go
// elsewhere, or get through, while old ones stay as they are.
type relay struct {
	ln      net.Listener
	running sync.WaitGroup

	mu       sync.Mutex // Protects what follows.
	upstream string
	lines    map[*line]struct{}
	ended    bool
}

// A line is one connection through a relay.
type line struct {
	client, server net.Conn
	gone           chan struct{} // Closed when the relay forgets it.
	once           sync.Once
}

func newRelay(t *testing.T, upstream string) *relay {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{ln: ln, upstream: upstream, lines: map[*line]struct{}{}}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

// moveTo has new connections go to another server. Those that are open stay.
func (r *relay) moveTo(upstream string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upstream = upstream
}

// forget leaves the connections that are open half open, as a firewall does
// that has forgotten them: what is sent on them gets lost, and neither side is
// told. It returns how many these are.
func (r *relay) forget() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.lines {
		l.once.Do(func() { close(l.gone) })
	}
	return len(r.lines)
}

func (r *relay) accept() {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.serve(client) })
	}
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	r.mu.Lock()
	upstream := r.upstream
	r.mu.Unlock()
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", upstream)
	if err != nil {
		return
	}
	defer server.Close()
	l := &line{client: client, server: server, gone: make(chan struct{})}
	if !r.add(l) {
		return
	}
	defer r.remove(l)
	var both sync.WaitGroup
	both.Go(func() { l.forward(server, client) })
	both.Go(func() { l.forward(client, server) })
	both.Wait()
}

// forward copies until one side is closed, and closes the other then, unless
// the line is forgotten.
func (l *line) forward(dst, src net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		select {
		case <-l.gone:
			if err != nil {
				return
			}
			continue
		default:
		}
		if n > 0 {
			_, _ = dst.Write(b[:n])
		}
		if err != nil {
			_ = dst.Close()
			_, _ = io.Copy(io.Discard, src)
			return
		}
	}
}

func (r *relay) add(l *line) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.lines[l] = struct{}{}
	return true
}

func (r *relay) remove(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lines, l)
}

func (r *relay) close() {
	_ = r.ln.Close()
	r.mu.Lock()
	r.ended = true
	for l := range r.lines {
		_, _ = l.client.Close(), l.server.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
