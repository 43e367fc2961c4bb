package sqlite

import (
	"container/list"
	"slices"
	"sync"
)

// waits are the units of this process that wait at gates. A unit is a
// transaction over several databases: it keeps the gates that it has passed until
// its end, so two that pass the same ones in opposite order would wait for each
// other until busy_timeout.
//
// What other processes wait for is not known here.
var waits = waitGraph{byUnit: make(map[any][]place)}

type waitGraph struct {
	mu     sync.Mutex // Locked before that of any gate. Protects byUnit.
	byUnit map[any][]place
}

// A place is a waiter's, at a gate. One unit may have several, for each of its
// goroutines.
type place struct {
	at *gate
	w  *waiter
}

// begin has w wait at g. It returns nil if it need not wait after all, and
// errDeadlock if its unit would wait for itself.
func (b *waitGraph) begin(g *gate, w *waiter) (*list.Element, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	queued := g.enqueue(w)
	if queued == nil {
		return nil, nil //nolint:nilnil // It is through.
	}
	if b.cyclic(place{g, w}) {
		g.leaveQueue(queued)
		return nil, errDeadlock
	}
	b.byUnit[w.unit] = append(b.byUnit[w.unit], place{g, w})
	return queued, nil
}

// end forgets that w waits.
func (b *waitGraph) end(g *gate, w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(b.byUnit[w.unit], func(p place) bool { return p == place{g, w} })
	if len(left) == 0 {
		delete(b.byUnit, w.unit)
		return
	}
	b.byUnit[w.unit] = left
}

// cyclic reports whether the unit that takes a place waits for itself by way of
// others. One that waits for itself at once is not meant: it may have begun two
// transactions in two goroutines, of which one ends.
func (b *waitGraph) cyclic(from place) bool {
	self := from.w.unit
	seen, ahead := map[any]bool{self: true}, make(map[*waiter]bool)
	next := []place{from}
	for len(next) > 0 {
		p := next[0]
		next = next[1:]
		if ahead[p.w] {
			continue // Of another place in its queue: so is who is ahead of it.
		}
		for _, unit := range p.at.before(p.w, ahead) {
			if unit == self && p != from {
				return true
			}
			if unit == nil || seen[unit] {
				continue
			}
			seen[unit] = true
			next = append(next, b.byUnit[unit]...)
		}
	}
	return false
}
