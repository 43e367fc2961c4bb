package pgx

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A connection that pgx gives up, because nothing answers or something else
// did, it closes on a goroutine: that asks for up to 15 s to have the statement
// cancelled, and then waits as long for the rest of what the server sends. Till
// then the server has a client, and keeps the locks of its transaction.

// hangUp closes the socket of a connection that pgx has given up.
func (c *conn) hangUp() {
	if c.pgc.IsClosed() {
		closeSocket(c.pgc.Conn())
	}
}

func closeSocket(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // TLS would want to say goodbye.
	}
	_ = nc.Close()
}

// lastRequest bounds the request to cancel what ran on a connection that was
// given up. A [canceller] has sent one before, where a context has ended.
const lastRequest = time.Second

// wantedKey marks the contexts of connections that somebody waits for.
type wantedKey struct{}

// A line is the newest socket of a connection that is being made.
type line struct{ socket net.Conn }

func wanted(ctx context.Context, l *line) context.Context {
	return context.WithValue(ctx, wantedKey{}, l)
}

// close closes the socket, if there is one.
func (l *line) close() {
	if l.socket != nil {
		closeSocket(l.socket)
	}
}

// hurried dials as dial does, and gives those that nobody waits for little time.
func hurried(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if l, ok := ctx.Value(wantedKey{}).(*line); ok {
			nc, err := dial(ctx, network, addr)
			l.socket = nc
			return nc, err
		}
		deadline := time.Now().Add(lastRequest)
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		nc, err := dial(ctx, network, addr)
		if err == nil {
			err = nc.SetDeadline(deadline)
		}
		return nc, err
	}
}
