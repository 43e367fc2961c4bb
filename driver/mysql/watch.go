package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

const (
	// stopLimit is how long a statement whose context has ended may take to
	// be stopped, until its connection is closed.
	stopLimit = 200 * time.Millisecond
	// killLimit bounds the KILL itself, so that the server is rid of the
	// statement though nobody waits for it any more.
	killLimit = time.Second
	// killers is how many connections a pool opens at once to send a KILL.
	killers = 4
)

// A watch stops a statement when its context ends. It serves one statement
// after another, until it had to.
type watch struct {
	ctx     context.Context //nolint:containedctx // Of the statement that it serves now.
	fire    func()          // For the end of ctx; made once.
	stop    func() bool
	replied chan struct{} // Closed when the server has answered, or never will.
	settled chan struct{} // Closed when no KILL is on its way any more, or the connection is closed.
	cause   error         // The context's error; set before settled is closed.
}

// watchOver begins to watch ctx for a statement.
func (c *conn) watchOver(ctx context.Context) *watch {
	if ctx.Done() == nil {
		return nil
	}
	w := c.spare
	c.spare = nil
	if w == nil {
		w = &watch{replied: make(chan struct{}), settled: make(chan struct{})}
		w.fire = func() {
			w.cause = w.ctx.Err()
			c.interrupt(w.ctx, w)
		}
	}
	w.ctx = ctx
	w.stop = context.AfterFunc(ctx, w.fire)
	return w
}

// release ends a watch after the reply. It returns the context's error if the
// statement had to be stopped, and then waits until that is over.
func (c *conn) release(w *watch) error {
	if w == nil {
		return nil
	}
	if w.stop() {
		w.ctx = nil
		c.spare = w
		return nil
	}
	close(w.replied)
	<-w.settled
	return w.cause
}

// interrupt has the statement killed and waits for its reply, then gives up
// and hangs up. A KILL that came late would stop another statement, so it is
// waited for even when the reply is there.
func (c *conn) interrupt(ctx context.Context, w *watch) {
	defer close(w.settled)
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()

	killed, replied := c.connector.killer.kill(ctx, c), w.replied
	for killed != nil || replied != nil {
		select {
		case <-killed:
			killed = nil
		case <-replied:
			replied = nil
		case <-timer.C:
			_ = c.net.Close() // Whoever waits for the reply gets the error.
			return
		}
	}
}

// A killer sends KILL QUERY through connections of its own.
type killer struct {
	inner sqldriver.Connector
	once  sync.Once
	slots chan struct{}

	mu      sync.Mutex // Protects closed, and running from growing after it.
	closed  bool
	running sync.WaitGroup
}

// kill stops what c's session is doing, though ctx has ended. The channel is
// closed when that is done or has failed, [killLimit] later at most.
func (k *killer) kill(ctx context.Context, c *conn) <-chan struct{} {
	k.once.Do(func() { k.slots = make(chan struct{}, killers) })
	done := make(chan struct{})

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		close(done)
		return done
	}
	k.running.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer cancel()
		select {
		case k.slots <- struct{}{}:
			defer func() { <-k.slots }()
			if err := wire.Apart("a TLS configuration", func() error { return k.send(ctx, c) }); err != nil {
				c.connector.settings.cfg.Logger.Print("statement could not be stopped: ", err)
			}
		case <-ctx.Done():
		}
	})
	return done
}

// send goes to the address that c is connected to. Another server may answer
// there nevertheless, behind a load balancer, where the same id is a stranger's.
func (k *killer) send(ctx context.Context, c *conn) (err error) {
	side, returned := &line{to: c.net.RemoteAddr()}, false
	defer closeUnless(&returned, side)
	raw, err := k.inner.Connect(context.WithValue(ctx, lineKey{}, side))
	returned = true
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()

	on, ok := raw.(innerConn)
	if !ok {
		return fmt.Errorf("go-sql-driver's %T is not what it was", raw)
	}
	server, err := queryText(ctx, on, serverQuery)
	if err != nil {
		return err
	}
	if server != c.hello.server {
		return fmt.Errorf("%s is another server now", c.net.RemoteAddr())
	}
	_, err = on.ExecContext(ctx, "KILL QUERY "+strconv.FormatUint(c.hello.id, 10), nil)
	return err
}

// close waits for every KILL that is on its way.
func (k *killer) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.running.Wait()
}

func (k *killer) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}
