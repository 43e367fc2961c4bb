package sqlite

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"time"
	"weak"
)

// A gate lets one writer of a database through at a time, in the order of
// their arrival. SQLite's own lock knows no order: under load some writers
// get it again and again while others wait until they give up.
type gate struct {
	mu     sync.Mutex
	closed bool      // Somebody is through. Guarded by mu.
	unit   any       // The transaction over several databases that is, or nil. Guarded by mu.
	queue  list.List // Of *waiter. Guarded by mu.
}

// A waiter waits for its turn at a gate.
type waiter struct {
	unit any           // The transaction over several databases that it is a part of, or nil.
	turn chan struct{} // Closed for its turn.
}

// lock waits for its turn until ctx ends, and no longer than limit. It returns
// how long that took. Where a unit would wait for itself, by way of others that
// wait, it fails at once.
func (g *gate) lock(ctx context.Context, limit time.Duration, unit any) (time.Duration, error) {
	if g.tryLock(unit) {
		return 0, nil
	}
	w := &waiter{unit: unit, turn: make(chan struct{})}
	if unit == nil {
		if place := g.enqueue(w); place != nil {
			return g.wait(ctx, limit, w.turn, place)
		}
		return 0, nil
	}
	place, err := waits.begin(g, w)
	if err != nil || place == nil {
		return 0, err
	}
	defer waits.end(g, w)
	return g.wait(ctx, limit, w.turn, place)
}

// tryLock goes through if nobody is.
func (g *gate) tryLock(unit any) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed, g.unit = true, unit
	return true
}

// enqueue gives w a place in the queue, or has it go through if that has become
// free, and returns nil.
func (g *gate) enqueue(w *waiter) *list.Element {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed, g.unit = true, w.unit
		return nil
	}
	return g.queue.PushBack(w)
}

// leaveQueue gives a place in the queue back.
func (g *gate) leaveQueue(place *list.Element) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue.Remove(place)
}

// before returns the units that w waits for: the one that is through, and those
// whose turn comes before. There are none if w's has come. It adds the waiters
// among them to seen.
func (g *gate) before(w *waiter, seen map[*waiter]bool) []any {
	g.mu.Lock()
	defer g.mu.Unlock()
	units := []any{g.unit}
	var ahead []*waiter
	for e := g.queue.Front(); e != nil; e = e.Next() {
		if e.Value == w {
			for _, other := range ahead { // Only if w waits, and they have been told.
				seen[other] = true
			}
			return units
		}
		if other, _ := e.Value.(*waiter); other.unit != nil {
			units = append(units, other.unit)
			ahead = append(ahead, other)
		}
	}
	return nil
}

func (g *gate) wait(ctx context.Context, limit time.Duration, turn chan struct{}, place *list.Element) (time.Duration, error) {
	start := time.Now()
	timer := time.NewTimer(limit)
	defer timer.Stop()

	var err error
	select {
	case <-turn:
		return time.Since(start), nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errQueue
	}
	waited := time.Since(start)

	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // It came at the last moment: pass it on.
		g.nextLocked()
	default:
		g.queue.Remove(place)
	}
	return waited, err
}

// unlock lets the next one through.
func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nextLocked()
}

func (g *gate) nextLocked() {
	first := g.queue.Front()
	if first == nil {
		g.closed, g.unit = false, nil
		return
	}
	next, _ := g.queue.Remove(first).(*waiter)
	g.unit = next.unit
	close(next.turn)
}

// gates holds the gates of this process by database, so that all engines of
// one file use one gate. A gate lives as long as a connection uses it.
var gates = struct {
	sync.Mutex // Protects byName.

	byName map[string]weak.Pointer[gate]
}{byName: make(map[string]weak.Pointer[gate])}

// gateOf returns the gate of a database.
func gateOf(name string) *gate {
	gates.Lock()
	defer gates.Unlock()

	if g := gates.byName[name].Value(); g != nil {
		return g
	}
	g := new(gate)
	gates.byName[name] = weak.Make(g)
	runtime.AddCleanup(g, forgetGate, name)
	return g
}

// forgetGate removes the entry of a gate that is gone, unless there is a new
// one of that name.
func forgetGate(name string) {
	gates.Lock()
	defer gates.Unlock()

	if gates.byName[name].Value() == nil {
		delete(gates.byName, name)
	}
}
