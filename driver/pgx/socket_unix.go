//go:build unix

package pgx

import (
	"net"
	"syscall"
)

// A socket is looked at without reading from it. That tells of a connection
// which the server has closed while it was idle, before a statement is sent on
// it whose outcome would then be unknown.
type socket struct {
	raw  syscall.RawConn
	peek func(fd uintptr)

	buf  [1]byte
	idle bool // The last look found neither data nor an end.
}

// newSocket returns nil if there is no way to look at c.
func newSocket(c net.Conn) *socket {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn() // Under TLS.
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.peek = func(fd uintptr) { // Go's sockets never block.
		_, _, err := syscall.Recvfrom(int(fd), s.buf[:], syscall.MSG_PEEK)
		s.idle = err == syscall.EAGAIN || err == syscall.EINTR
	}
	return s
}

// calls reports whether there is something to read, be it the end. On an idle
// connection this may also be a notice, or a parameter that has changed.
func (s *socket) calls() bool {
	if s == nil {
		return false
	}
	// Not with Read, which waits for readers: after a slow write pgx leaves
	// one that waits for the server to speak.
	if err := s.raw.Control(s.peek); err != nil {
		return true
	}
	return !s.idle
}
