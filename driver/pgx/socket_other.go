//go:build !unix

package pgx

import "net"

// A socket cannot be looked at here. An idle connection that the server has
// closed is found by the ping after [pingAfter].
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) calls() bool { return false }
