package echobun

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// rollbackLimit is how long the end of an extension waits for what it rolls
// back to be rolled back.
const rollbackLimit = time.Second

// Shutdown ends the extension without cutting anybody off: from now on new app
// contexts answer [ErrClosed], and those that are there may finish. Then it
// closes every pool, as [Extension.Close] does. Call it after Echo's Shutdown,
// which waits for the requests:
//
//	_ = e.Shutdown(ctx)
//	_ = ext.Shutdown(ctx)
//
// When ctx ends before they have finished, the app contexts end, what they
// have open is rolled back, and the error matches that of ctx and says how
// many there were. After Close it does nothing and returns nil, and Close ends
// its wait.
func (x *Extension) Shutdown(ctx context.Context) error {
	idle := x.running.refuse()
	var late error
	select {
	case <-idle:
	case <-x.over:
	case <-ctx.Done():
		late = x.tooLate(ctx)
	}
	return errors.Join(late, x.Close())
}

// tooLate is the error of a shutdown whose time is up.
func (x *Extension) tooLate(ctx context.Context) error {
	n := x.running.count()
	if n == 0 || x.closed.Load() {
		return nil // Nobody is cut off, or not by this.
	}
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return fmt.Errorf("echobun: shutdown has cut off %d app contexts that were still running: %w", n, err)
}

// running is the app contexts of an extension that have not ended.
type running struct {
	mu      sync.Mutex // Protects what follows, and the links of the app contexts.
	refused bool       // There are to be no more.
	n       int
	first   *appContext
	idle    chan struct{} // Closed when there are none and will be none; nil until somebody waits.
}

// add reports false if there is to be none any more.
func (r *running) add(a *appContext) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused {
		return false
	}
	a.next = r.first
	if a.next != nil {
		a.next.previous = a
	}
	r.first = a
	r.n++
	return true
}

// remove forgets an app context that was added and has ended.
func (r *running) remove(a *appContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.previous != nil {
		a.previous.next = a.next
	} else {
		r.first = a.next
	}
	if a.next != nil {
		a.next.previous = a.previous
	}
	a.next, a.previous = nil, nil
	r.n--
	r.signal()
}

// signal tells those who wait that there are none. It needs mu.
func (r *running) signal() {
	if r.n == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// refuse has add refuse from now on. The channel is closed when there are none left.
func (r *running) refuse() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = true
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.signal()
	return idle
}

func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// all returns those that are there.
func (r *running) all() []*appContext {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*appContext, 0, r.n)
	for a := r.first; a != nil; a = a.next {
		all = append(all, a)
	}
	return all
}

// rollBack ends the app contexts that still run, and waits until what they had
// open is rolled back, but not for long.
func (x *Extension) rollBack() {
	x.running.refuse()
	var aborts sync.WaitGroup
	for _, a := range x.running.all() {
		for _, t := range a.stop() {
			aborts.Go(func() { t.abort(ErrClosed) })
		}
		aborts.Go(func() { <-a.settled() })
	}
	done := make(chan struct{})
	go func() {
		aborts.Wait()
		close(done)
	}()
	timer := time.NewTimer(rollbackLimit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
