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
	queue  list.List // Of chan struct{}, closed for its waiter's turn. Guarded by mu.
}

// lock waits for its turn until ctx ends, and no longer than limit. It returns
// how long that took.
func (g *gate) lock(ctx context.Context, limit time.Duration) (time.Duration, error) {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.mu.Unlock()
		return 0, nil
	}
	turn := make(chan struct{})
	place := g.queue.PushBack(turn)
	g.mu.Unlock()
	return g.wait(ctx, limit, turn, place)
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
		g.closed = false
		return
	}
	turn, _ := g.queue.Remove(first).(chan struct{})
	close(turn)
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
