package pgx

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

const (
	// spareLife is how long a connection waits for a caller that wants it.
	spareLife = 10 * time.Second

	// dialLimit bounds the making of a connection that nobody waits for any
	// more where connecting has no limit of its own.
	dialLimit = 2 * time.Minute
)

var errConnectorClosed = errors.New("pgx: the pool of this connector is closed")

// A dialer makes connections that are finished even if the caller cannot wait.
//
// Without it, callers with short deadlines would never get a connection once
// connecting takes longer than they have: each would begin anew, and the
// server would be busy with connections that are thrown away.
//
// A connection is begun only if there is none to spare and fewer are under way than
// callers wait. So there are never more than the pool may open.
type dialer struct {
	dial    func(context.Context) (*conn, error)
	life    time.Duration // Of a spare connection.
	running sync.WaitGroup

	mu      sync.Mutex // Protects what follows.
	waiting []*waiter  // In order of arrival.
	dials   map[*dialing]struct{}
	spares  []*spare
	closed  bool
}

// A waiter is a caller that waits for a connection.
type waiter struct {
	got chan dialed // Holds one, so that giving never waits.
	own bool        // A connection was begun for it.
}

type dialed struct {
	conn *conn
	err  error
}

// A dialing is a connection under way.
type dialing struct {
	cancel context.CancelFunc
	owner  *waiter // Gets the error if it still waits.
}

// A spare is a connection that waits for a caller.
type spare struct {
	conn   *conn
	expire *time.Timer
}

func newDialer(dial func(context.Context) (*conn, error)) *dialer {
	return &dialer{dial: dial, life: spareLife, dials: make(map[*dialing]struct{})}
}

// get returns a connection, or an error that matches ctx's if that ends first.
func (d *dialer) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, w, err := d.enlist(ctx)
	if w == nil {
		return c, err
	}
	select {
	case r := <-w.got:
		return r.conn, r.err
	case <-ctx.Done():
	}
	if d.leave(w) {
		return nil, ctx.Err()
	}
	r := <-w.got
	return r.conn, r.err
}

// enlist returns a spare connection, or a waiter.
func (d *dialer) enlist(ctx context.Context) (*conn, *waiter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, errConnectorClosed
	}
	if c := d.takeLocked(ctx); c != nil {
		return c, nil, nil
	}
	w := &waiter{got: make(chan dialed, 1)}
	d.waiting = append(d.waiting, w)
	d.beginLocked(ctx)
	return nil, w, nil
}

// takeLocked returns a spare connection that is still good, or nil.
func (d *dialer) takeLocked(ctx context.Context) *conn {
	for len(d.spares) > 0 {
		s := d.spares[0]
		d.spares = slices.Delete(d.spares, 0, 1)
		s.expire.Stop()
		if s.conn.IsValid() && !s.conn.socket.calls() {
			return s.conn
		}
		s.conn.kill(ctx)
	}
	return nil
}

// beginLocked begins a connection if more callers wait than are under way.
func (d *dialer) beginLocked(ctx context.Context) {
	if len(d.dials) >= len(d.waiting) {
		return
	}
	i := slices.IndexFunc(d.waiting, func(w *waiter) bool { return !w.own })
	if i < 0 {
		return
	}
	owner := d.waiting[i]
	owner.own = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialLimit)
	t := &dialing{cancel: cancel, owner: owner}
	d.dials[t] = struct{}{}
	d.running.Go(func() {
		defer cancel()
		var r dialed
		r.err = wire.Apart("what opens a connection", func() (err error) {
			r.conn, err = d.dial(ctx)
			return err
		})
		d.finish(ctx, t, r)
	})
}

// finish gives a connection to the first who waits, or keeps it; and an error
// to the one it was begun for. If that one has left, the others are not
// to blame, so the next gets a connection begun anew.
func (d *dialer) finish(ctx context.Context, t *dialing, r dialed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dials, t)
	switch {
	case r.err != nil && d.closed:
		for _, w := range d.waiting {
			w.got <- dialed{err: errConnectorClosed}
		}
		d.waiting = nil
	case r.err != nil:
		if i := slices.Index(d.waiting, t.owner); i >= 0 {
			d.giveLocked(i, r)
		}
		d.beginLocked(ctx)
	case len(d.waiting) > 0:
		d.swapLocked(t, d.waiting[0])
		d.giveLocked(0, r)
	case d.closed:
		r.conn.kill(ctx)
	default:
		d.keepLocked(context.WithoutCancel(ctx), r.conn)
	}
}

// swapLocked makes t's owner that of the connection begun for w, which t's
// connection is given to. So every waiter that owns one has it under way.
func (d *dialer) swapLocked(t *dialing, w *waiter) {
	for other := range d.dials {
		if other.owner == w {
			other.owner = t.owner
		}
	}
}

func (d *dialer) giveLocked(i int, r dialed) {
	d.waiting[i].got <- r
	d.waiting = slices.Delete(d.waiting, i, i+1)
}

func (d *dialer) keepLocked(ctx context.Context, c *conn) {
	s := &spare{conn: c}
	s.expire = time.AfterFunc(d.life, func() { d.drop(ctx, s) })
	d.spares = append(d.spares, s)
}

// drop closes a connection that nobody has taken in time.
func (d *dialer) drop(ctx context.Context, s *spare) {
	d.mu.Lock()
	i := slices.Index(d.spares, s)
	if i >= 0 {
		d.spares = slices.Delete(d.spares, i, i+1)
	}
	d.mu.Unlock()
	if i >= 0 {
		s.conn.kill(ctx)
	}
}

// leave takes a waiter off the list. It reports false if a connection or an
// error was given to it already.
func (d *dialer) leave(w *waiter) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.waiting, w)
	if i < 0 {
		return false
	}
	d.waiting = slices.Delete(d.waiting, i, i+1)
	return true
}

// close ends what is under way and what is spare, and waits for it.
func (d *dialer) close() {
	d.mu.Lock()
	d.closed = true
	spares := d.spares
	d.spares = nil
	for t := range d.dials {
		t.cancel()
	}
	d.mu.Unlock()
	for _, s := range spares {
		s.expire.Stop()
		s.conn.kill(context.Background())
	}
	d.running.Wait()
}
