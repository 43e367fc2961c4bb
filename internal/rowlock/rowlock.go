// Package rowlock frees rows of database/sql that a panic has left locked.
//
// Rows.Scan keeps the rows from being closed while it runs, by a lock that it
// does not give back if a Scanner panics or ends its goroutine. Whoever closes
// the rows then waits for ever: the deferred Close of the very goroutine that
// panics, which neither its caller nor a deadline stops, and with it the
// connection, the transaction's locks and the place in the pool. Nothing of a
// driver's is called on that way, neither by Go 1.25 nor by 1.27.
//
// So each connection has a [Watch], which it tells of the rows that it gives
// out. If nobody has closed them, though their context has ended, or asked for
// more for a while in a process of few goroutines, the stacks of all goroutines
// are looked at. They prove which rows are locked by nobody
// that lives; the lock is given back in the name of who has died, Close goes
// on, and so does the panic, to whoever recovers it.
package rowlock

import (
	"database/sql"
	"reflect"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

const (
	// settle is how long a lock has to be found twice as nobody's: those that are
	// held for a moment only are given back meanwhile.
	settle = 20 * time.Millisecond

	// share is how much of the time may go into looking: one part in so many,
	// unless that would be to look more seldom than after a pause of mostPause. All
	// goroutines stand still for it.
	share, mostPause = 50, time.Second

	firstSize, lastSize = 64 << 10, 64 << 20
)

// last is the last look, of which there is one at a time.
var last struct {
	sync.Mutex // Protects what follows.

	size  int // Of the stacks.
	next  time.Time
	freed map[closer]bool // By what their own stack says, while that is there.
}

// Free frees the rows of all goroutines that are locked by nobody who lives. It
// does nothing if somebody else is about it, or if that would take too much of
// the time. It reports whether there may be something left to do.
func Free() bool {
	if !last.TryLock() {
		return true
	}
	defer last.Unlock()
	start := time.Now()
	if start.Before(last.next) {
		return true
	}
	found, waiting := dead(stacks())
	last.next = start.Add(min(share*time.Since(start), mostPause))
	if len(found) == 0 {
		return waiting
	}
	meet()
	time.Sleep(settle)
	for len(found) > 0 { // Several may have died in one's rows, one after the other.
		again, _ := dead(stacks())
		found = unlockAll(found, again)
	}
	return waiting
}

// unlockAll unlocks each of the rows once that were found twice. It returns who
// waited for them.
func unlockAll(found, again map[closer]bool) map[closer]bool {
	unlocked := map[uintptr]bool{}
	for c := range found {
		if !again[c] || !unlocked[c.rows] && !unlock(c.rows) {
			delete(found, c)
			continue
		}
		unlocked[c.rows], last.freed[c] = true, true
	}
	return found
}

// stacks returns the stacks of all goroutines, or nil if they are too many.
func stacks() []goroutine {
	for size := max(last.size, firstSize); size <= lastSize; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			last.size = 2 * n
			return parse(string(buf[:n]))
		}
	}
	return nil
}

// A closer is a goroutine that waits to close rows.
type closer struct {
	goroutine string
	rows      uintptr
}

// dead returns who waits for rows that are locked by nobody who lives, and
// whether anybody waits. It needs last.
func dead(all []goroutine) (found map[closer]bool, waits bool) {
	unsure := false // Somebody may be among them of whom nothing is seen.
	alive := map[uintptr]bool{}
	waiting := map[closer]bool{} // True if it has locked them itself.
	for _, g := range all {
		readers, left := g.readers()
		for _, rows := range readers {
			alive[rows] = true
		}
		unsure = unsure || g.elided || alive[0]
		if rows := g.closes(); rows != 0 {
			waiting[closer{g.id, rows}] = left[rows]
		}
	}
	found = map[closer]bool{}
	freed := map[closer]bool{}
	for c, own := range waiting {
		freed[c] = last.freed[c]
		if !alive[c.rows] && (!unsure || own && !freed[c]) {
			found[c] = true
		}
	}
	last.freed = freed
	return found, len(waiting) > 0
}

// unlock gives the lock of rows back once. It reports false if a Scan into
// RawBytes holds it on purpose.
func unlock(at uintptr) bool {
	rows := *(*unsafe.Pointer)(unsafe.Pointer(&at))
	if holds(unsafe.Add(rows, hold.Offset)) {
		return false
	}
	lock, ok := reflect.TypeAssert[runlocker](reflect.NewAt(mutex.Type, unsafe.Add(rows, mutex.Offset)))
	if ok {
		lock.RUnlock()
	}
	return ok
}

// holds reads a bool that nobody can write as long as somebody waits for the
// lock, which the race detector does not know.
//
//go:norace
//go:noinline
func holds(at unsafe.Pointer) bool { return *(*bool)(at) }

// A runlocker is a lock that several may hold.
type runlocker interface{ RUnlock() }

// What is known of the rows of this version of database/sql, if it is.
var (
	mutex, hasMutex = reflect.TypeFor[sql.Rows]().FieldByName("closemu")
	hold, hasHold   = reflect.TypeFor[sql.Rows]().FieldByName("closemuScanHold")

	known = hasMutex && hasHold && hold.Type.Kind() == reflect.Bool &&
		reflect.PointerTo(mutex.Type).Implements(reflect.TypeFor[runlocker]())
)
