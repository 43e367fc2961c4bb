package cutproxy

import (
	"net"
	"sync/atomic"
	"time"
)

// A pair is one client's connection and the one to the server that belongs
// to it.
type pair struct {
	client, server net.Conn
	deaf           atomic.Bool // The client gets no more bytes.
	mute           bool        // Neither does the server. Of the goroutine that forwards to it.
	doomed         atomic.Bool // Both are reset once the server has answered.
}

// requests forwards what the client sends, and does what the trap says.
func (c *pair) requests(spring func(*scanner, []byte) (Mode, bool)) {
	var s scanner
	b := make([]byte, 32<<10)
	for {
		n, err := c.client.Read(b)
		if n > 0 && !c.deaf.Load() {
			if m, fell := spring(&s, b[:n]); fell && !c.fall(m) {
				return
			}
		}
		if n > 0 && !c.mute {
			_, _ = c.server.Write(b[:n])
		}
		if err != nil {
			c.end()
			return
		}
	}
}

// fall does what m says before the marked bytes are forwarded, and reports
// whether they are to be.
func (c *pair) fall(m Mode) bool {
	c.deaf.Store(true)
	switch m {
	case DropRequest:
		c.reset()
		return false
	case DropReply:
		c.doomed.Store(true)
		_ = c.server.SetReadDeadline(time.Now().Add(replyLimit))
	case HangReply:
	case HangRequest:
		c.mute = true
	}
	return true
}

// replies forwards what the server sends, as long as the client may have it.
func (c *pair) replies() {
	b := make([]byte, 32<<10)
	for {
		n, err := c.server.Read(b)
		switch {
		case c.doomed.Load():
			if err != nil {
				c.reset()
				return
			}
			_ = c.server.SetReadDeadline(time.Now().Add(quiet))
		case n > 0 && !c.deaf.Load():
			_, _ = c.client.Write(b[:n])
		}
		if err != nil && !c.doomed.Load() {
			c.serverLeft()
			return
		}
	}
}

// serverLeft ends the connection to the client, unless it hangs: a black hole
// says nothing of its server either.
func (c *pair) serverLeft() {
	_ = c.server.Close()
	if !c.deaf.Load() {
		_ = c.client.Close()
	}
}

// end closes both, as a peer that leaves does.
func (c *pair) end() {
	_ = c.client.Close()
	_ = c.server.Close()
}

// reset closes both; the client sees "connection reset by peer".
func (c *pair) reset() {
	abort(c.client)
	_ = c.server.Close()
}

// abort closes a connection with a reset instead of an orderly end.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
