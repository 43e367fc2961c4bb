package pgx

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/echobun/echobun/internal/wire"
)

const (
	// cancelLimit is how long after the end of its context a statement may
	// still take: the time to cancel it on the server. Then the connection is
	// given up.
	cancelLimit = 200 * time.Millisecond

	// cancelGrace is how long a statement whose context has ended may go on
	// before a request to cancel it is sent. Most short ones are over by then,
	// and a request costs the server a process.
	cancelGrace = 5 * time.Millisecond

	// staleWindow is how long after a request to cancel a statement another
	// one that ends as cancelled may have been hit by that same request.
	staleWindow = time.Second

	// echoWindow is the same after the request has hit one statement, and only
	// its second signal is left.
	echoWindow = staleWindow / 2

	// cancelHits is how many statements one request to cancel may hit: PostgreSQL
	// signals the process, and then its process group, which it is part of.
	cancelHits = 2

	// cancellerKey is where a connection's canceller is found.
	cancellerKey = "echobun.canceller"
)

// A canceller cancels statements of one connection on the server when their
// context ends.
//
// The protocol sends such a request over a connection of its own, and names
// no statement in it. So the next one could be hit. PostgreSQL closes that
// other connection after it has signalled the process that runs the
// statement, and a process that is signalled between two statements ignores it. Hence
// a canceller waits for the close, whatever became of the statement; where it does
// not see it, the connection cannot be used any more. (Pgx's own handler waits
// for 100 ms, and does not look at the close.)
type canceller struct {
	pgc *pgconn.PgConn

	// Of the request under way, if the last watched context has ended.
	over chan struct{} // Closed when the statement is over.
	done chan struct{} // Closed when the request is.

	// Written before done is closed, read after it.
	sent time.Time // When the last request was sent.
	hits int       // How many statements it may hit yet.

	// Somebody may want to send a statement while the rows of the one before are
	// open, and asks.
	uncertain atomic.Bool // It may still hit a later statement, or the connection is closed.

	hit  time.Time // When the server last told of a statement that the request has hit.
	line int32     // Of the server's source, which that came from; zero if there was none.
}

func newCanceller(pgc *pgconn.PgConn) ctxwatch.Handler {
	c := &canceller{pgc: pgc}
	pgc.CustomData()[cancellerKey] = c
	return c
}

// HandleCancel is called when the context of a statement has ended.
func (c *canceller) HandleCancel(ctx context.Context) {
	deadline := time.Now().Add(cancelLimit)
	// It cannot fail on an open connection, and a closed one needs none.
	_ = c.pgc.Conn().SetDeadline(deadline)
	c.over, c.done = make(chan struct{}), make(chan struct{})
	go c.cancel(context.WithoutCancel(ctx), deadline)
}

func (c *canceller) cancel(ctx context.Context, deadline time.Time) {
	defer close(c.done)
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	select {
	case <-c.over:
		return
	case <-grace.C:
	}
	l := new(line)
	ctx, stop := context.WithDeadline(wanted(ctx, l), deadline)
	defer stop()
	err := wire.Apart("what cancels a statement", func() error { return c.pgc.CancelRequest(ctx) })
	l.close()
	c.sent, c.hits = time.Now(), cancelHits
	if err != nil || ctx.Err() != nil {
		c.uncertain.Store(true)
	}
	select {
	case <-c.over:
	case <-ctx.Done():
		c.leaveReader()
	}
}

// leaveReader closes the connection. Whoever reads does not come back, from a Scan
// that has panicked say: the server must not keep the locks of its transaction
// for that. If they come back all the same they may find the rest of the reply
// in memory, and pgx will not have noticed that the connection is gone: so that
// is said before it is.
func (c *canceller) leaveReader() {
	select {
	case <-c.over: // Both at a time: there is nobody to wait for.
		return
	default:
	}
	c.uncertain.Store(true)
	closeSocket(c.pgc.Conn())
}

// HandleUnwatchAfterCancel is called when a statement whose context has ended
// is over, by the goroutine that runs it.
func (c *canceller) HandleUnwatchAfterCancel() {
	close(c.over)
	<-c.done
	_ = c.pgc.Conn().SetDeadline(time.Time{})
}

// strikes notes that the server has cancelled the statement whose context has
// ended: by the request, unless a time limit of its own was faster.
func (c *canceller) strikes(err *pgconn.PgError) {
	if c.hits > 0 && !isTimeout(err) {
		c.hits--
		c.hit, c.line = time.Now(), err.Line
	}
}

// strays reports whether the server has cancelled a statement that nobody
// wanted to be cancelled because of the request for an earlier one, and takes
// that hit off those that may come. Neither a time limit of the server's own nor
// an operator who cancels is taken for one.
func (c *canceller) strays(err *pgconn.PgError) bool {
	since, window := c.sent, staleWindow
	if c.hits < cancelHits {
		since, window = c.hit, echoWindow
	}
	if c.hits == 0 || time.Since(since) > window || isTimeout(err) || c.line != 0 && err.Line != c.line {
		return false
	}
	c.hits--
	c.hit = time.Now()
	return true
}

// isTimeout reports whether a statement was cancelled by the server itself, as
// far as that shows in English. In another language the line of the source
// tells, once a request has hit.
func isTimeout(err *pgconn.PgError) bool { return strings.Contains(err.Message, "timeout") }
