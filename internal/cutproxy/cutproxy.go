// Package cutproxy is a TCP proxy for tests that breaks a connection at an
// exact moment of its protocol: when the client has sent bytes that contain a
// marker, "commit" for instance.
//
// It sees plain bytes only, so the connections through it must not use TLS or
// compression. A driver that prepares its statements first sends their text
// with the preparation: then nothing has run yet when the cut falls.
package cutproxy

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Mode says what happens to a connection when a marker is seen on it.
type Mode int

// The modes.
const (
	// DropRequest keeps the bytes with the marker from the server, and resets
	// the connection to the client.
	DropRequest Mode = iota
	// DropReply lets the server have the bytes and answer, throws the answer
	// away, and resets the connection to the client.
	DropReply
	// HangReply lets the server have the bytes, and holds back its answer and
	// all that follows. The connection stays open until [Proxy.Cut] or the end.
	HangReply
	// HangRequest keeps the bytes with the marker from the server, and all that
	// follows but the end of the connection.
	HangRequest
)

const (
	// dialLimit bounds the connection to the server.
	dialLimit = 5 * time.Second
	// replyLimit is how long DropReply waits for an answer to throw away.
	replyLimit = 10 * time.Second
	// quiet is how long a server has to be silent until its answer counts as
	// complete.
	quiet = 10 * time.Millisecond
)

// A Proxy forwards TCP connections to one server. It is safe for concurrent
// use.
type Proxy struct {
	ln       net.Listener
	upstream string
	ctx      context.Context //nolint:containedctx // It ends the dials that are under way when the proxy closes.
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	trap  trap
	pairs map[*pair]struct{}
	cuts  int
	conns int
	ended bool
}

// New starts a proxy on a free loopback port for the server at upstream, a
// "host:port". It is closed, with all its connections, when the test ends.
func New(tb testing.TB, upstream string) *Proxy {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		tb.Fatalf("cutproxy: listen: %v", err)
	}
	p := &Proxy{ln: ln, upstream: upstream, ctx: ctx, stop: stop, pairs: map[*pair]struct{}{}}
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr returns the proxy's own address, a "host:port".
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Arm sets a trap for the next message that contains one of markers, in any
// case: its connection is treated as m says. It falls once, and replaces a
// trap set before.
func (p *Proxy) Arm(m Mode, markers ...string) { p.ArmN(1, m, markers...) }

// ArmN is [Proxy.Arm] for the next n such messages, each on a connection of
// its own. Negative means until [Proxy.Disarm].
func (p *Proxy) ArmN(n int, m Mode, markers ...string) {
	t := newTrap(n, m, markers)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
}

// Disarm takes the trap away. Connections that hang go on hanging.
func (p *Proxy) Disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = trap{}
}

// Cuts returns how many times a trap has fallen.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Conns returns how many connections clients have made so far.
func (p *Proxy) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns
}

// Cut resets every connection that is open now. New ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.reset()
	}
}

// spring reports whether the trap falls on what a client has sent.
func (p *Proxy) spring(s *scanner, b []byte) (Mode, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.contains(p.trap.markers, b) || p.trap.left == 0 {
		return 0, false
	}
	p.trap.left--
	p.cuts++
	return p.trap.mode, true
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns++
		p.mu.Unlock()
		p.running.Go(func() { p.serve(c) })
	}
}

// serve forwards one client's connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	d := net.Dialer{Timeout: dialLimit}
	server, err := d.DialContext(p.ctx, "tcp", p.upstream)
	if err != nil {
		abort(client)
		return
	}
	c := &pair{client: client, server: server}
	if !p.add(c) {
		c.reset()
		return
	}
	defer p.remove(c)
	var back sync.WaitGroup
	back.Go(c.replies)
	c.requests(p.spring)
	back.Wait()
}

func (p *Proxy) add(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.pairs[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
}

func (p *Proxy) close() {
	p.stop()
	_ = p.ln.Close()
	p.mu.Lock()
	p.ended = true
	for c := range p.pairs {
		c.reset()
	}
	p.mu.Unlock()
	p.running.Wait()
}
