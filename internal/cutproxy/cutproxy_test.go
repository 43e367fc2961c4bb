package cutproxy_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/cutproxy"
)

// echo is a server that answers each line with itself, and remembers it.
type echo struct {
	ln net.Listener

	mu    sync.Mutex // guards lines
	lines []string
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &echo{ln: ln}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return s
}

func (s *echo) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, in.Text())
		s.mu.Unlock()
		if _, err := fmt.Fprintln(c, in.Text()); err != nil {
			return
		}
	}
}

func (s *echo) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.lines...)
}

// client is one connection through the proxy.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *cutproxy.Proxy) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return &client{t: t, Conn: c, in: bufio.NewReader(c)}
}

// ask sends a line and returns the answer.
func (c *client) ask(line string) (string, error) {
	c.t.Helper()
	_, err := fmt.Fprintln(c, line)
	require.NoError(c.t, err)
	answer, err := c.in.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

func setup(t *testing.T) (*echo, *cutproxy.Proxy) {
	t.Helper()
	s := newEcho(t)
	return s, cutproxy.New(t, s.ln.Addr().String())
}

func TestForward(t *testing.T) {
	t.Parallel()
	s, p := setup(t)
	c := dial(t, p)
	long := strings.Repeat("x", 200_000)
	for _, line := range []string{"one", "", long} {
		answer, err := c.ask(line)
		require.NoError(t, err)
		require.Equal(t, line, answer)
	}
	require.Equal(t, []string{"one", "", long}, s.got())
	require.Equal(t, 1, p.Conns())
	require.Zero(t, p.Cuts())
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		mode    cutproxy.Mode
		arrives bool
	}{
		{"DropRequest", cutproxy.DropRequest, false},
		{"DropReply", cutproxy.DropReply, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, p := setup(t)
			p.Arm(tt.mode, "rollback", "commit")
			c := dial(t, p)
			_, err := c.ask("select")
			require.NoError(t, err)

			answer, err := c.ask("COMMIT work")
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Empty(t, answer)
			require.Equal(t, 1, p.Cuts())
			require.Equal(t, tt.arrives, len(s.got()) == 2)

			answer, err = dial(t, p).ask("commit again")
			require.NoError(t, err, "a trap falls once")
			require.Equal(t, "commit again", answer)
			require.Equal(t, 2, p.Conns())
		})
	}
}

// A long message comes in several reads; the server has to get all of it.
func TestDropReplyOfLongRequest(t *testing.T) {
	t.Parallel()
	s, p := setup(t)
	p.Arm(cutproxy.DropReply, "insert")
	line := "insert " + strings.Repeat("x", 300_000)
	_, err := dial(t, p).ask(line)
	require.Error(t, err)
	require.Equal(t, []string{line}, s.got())
}

func TestHangReply(t *testing.T) {
	t.Parallel()
	s, p := setup(t)
	p.Arm(cutproxy.HangReply, "commit")
	c := dial(t, p)
	require.NoError(t, c.SetDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := c.ask("commit")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.Equal(t, []string{"commit"}, s.got())

	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	p.Cut()
	_, err = c.in.ReadByte()
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// A server that leaves must not end the silence.
func TestHangReplyOutlivesServer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	left := make(chan struct{})
	t.Cleanup(func() { _ = ln.Close(); <-left })
	go func() {
		defer close(left)
		if c, err := ln.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}()
	p := cutproxy.New(t, ln.Addr().String())
	p.Arm(cutproxy.HangReply, "commit")
	c := dial(t, p)
	require.NoError(t, c.SetDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = c.ask("commit")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

func TestMarkerOverTwoReads(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	p.Arm(cutproxy.DropRequest, "commit")
	c := dial(t, p)
	_, err := c.Write([]byte("com"))
	require.NoError(t, err)
	time.Sleep(50 * time.Millisecond) // So that the proxy reads the two halves apart.
	_, err = c.ask("mit")
	require.Error(t, err)
	require.Equal(t, 1, p.Cuts())
}

func TestMarkerBeforeArm(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	c := dial(t, p)
	_, err := c.ask("commit")
	require.NoError(t, err)
	p.Arm(cutproxy.DropRequest, "commit")
	_, err = c.ask("select")
	require.NoError(t, err, "what went by before does not count")
	_, err = c.ask("commit")
	require.Error(t, err)
}

func TestArmN(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		n, cuts int
	}{
		{"Never", 0, 0},
		{"Twice", 2, 2},
		{"Always", -1, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, p := setup(t)
			p.ArmN(tt.n, cutproxy.DropRequest, "commit")
			for range 4 {
				_, _ = dial(t, p).ask("commit")
			}
			require.Equal(t, tt.cuts, p.Cuts())
			p.Disarm()
			_, err := dial(t, p).ask("commit")
			require.NoError(t, err)
		})
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	clients := []*client{dial(t, p), dial(t, p)}
	for _, c := range clients {
		_, err := c.ask("hello")
		require.NoError(t, err)
	}
	p.Cut()
	for _, c := range clients {
		_, err := c.in.ReadByte()
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	_, err := dial(t, p).ask("hello")
	require.NoError(t, err, "new connections are let through")
}

func TestServerDown(t *testing.T) {
	t.Parallel()
	s, p := setup(t)
	require.NoError(t, s.ln.Close())
	c, err := net.Dial("tcp", p.Addr())
	if err == nil { // The reset may come before or after the end of Dial.
		t.Cleanup(func() { _ = c.Close() })
		_, err = c.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, 1, p.Conns())
}

func TestBadMarkers(t *testing.T) {
	t.Parallel()
	_, p := setup(t)
	require.Panics(t, func() { p.Arm(cutproxy.DropReply) })
	require.Panics(t, func() { p.Arm(cutproxy.DropReply, "") })
	require.Panics(t, func() { p.Arm(cutproxy.DropReply, strings.Repeat("x", 2000)) })
}
