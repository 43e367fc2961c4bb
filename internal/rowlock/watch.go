package rowlock

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long rows may lie before they are looked at. Until then it
	// doubles with each look, up to the longest.
	patience, longest = 100 * time.Millisecond, 5 * time.Second

	// few is how many goroutines a process has at most in which rows are looked at
	// that only lie. All goroutines stand still for a look: a millisecond for a
	// hundred of them, a second for ten thousand, which rows that are read slowly
	// are not worth. Where there are more, the context has to have ended: then
	// database/sql closes rows at once, unless something is in its way.
	few = 200
)

// What is known of the rows of a connection.
const (
	idle    uint32 = iota // There are none.
	reading               // The driver reads the next row.
	given                 // It has: what becomes of the row is not the driver's affair.
	lying                 // It has, some time ago.
)

// A Watch watches the rows of one connection. The zero value is ready to use. A
// connection that is used by one goroutine at a time may call its methods.
type Watch struct {
	state atomic.Uint32
	armed atomic.Bool // The timer runs.

	mu      sync.Mutex      // Protects what follows.
	ctx     context.Context //nolint:containedctx // Of the rows: they are to be closed at its end.
	timer   *time.Timer
	pause   time.Duration
	stopped bool
}

// Begins says that there are rows, which database/sql closes when ctx ends.
func (w *Watch) Begins(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = ctx
}

// Reads says that the driver is asked for a row, which may take long: it need
// not be said of each.
func (w *Watch) Reads() { w.state.Store(reading) }

// Gives says that the driver has answered, with a row or the end of them.
func (w *Watch) Gives() {
	if w.state.Load() != given {
		w.state.Store(given)
	}
	if !w.armed.Load() {
		w.arm()
	}
}

// Rests says that there are no rows any more.
func (w *Watch) Rests() {
	w.state.Store(idle)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = nil
}

// Stop is called when the connection is closed.
func (w *Watch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	armed.Delete(w)
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *Watch) arm() {
	if known && w.armed.CompareAndSwap(false, true) {
		armed.Store(w, nil)
		w.again(patience)
	}
}

// armed has the watches whose timers run.
var armed sync.Map

// meet makes what has been done until a row was given out known here, as far as
// the race detector knows.
func meet() {
	armed.Range(func(w, _ any) bool {
		if w, ok := w.(*Watch); ok {
			w.state.Load()
		}
		return true
	})
}

// again has the rows looked at after a pause.
func (w *Watch) again(pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pause = pause
	switch {
	case w.stopped:
	case w.timer == nil:
		w.timer = time.AfterFunc(pause, w.look)
	default:
		w.timer.Reset(pause)
	}
}

func (w *Watch) look() {
	switch w.state.Load() {
	case idle:
		armed.Delete(w)
		w.armed.Store(false)
		if w.state.Load() != idle { // Who has changed it may have found it armed.
			w.arm()
		}
		return
	case lying:
		switch {
		case !w.ended() && runtime.NumGoroutine() > few:
			w.again(patience)
		case Free():
			w.again(patience)
		default:
			w.again(min(2*w.lastPause(), longest))
		}
		return
	}
	w.state.CompareAndSwap(given, lying)
	w.again(patience)
}

// ended reports whether the rows should be closed by now.
func (w *Watch) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ctx != nil && w.ctx.Err() != nil
}

func (w *Watch) lastPause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pause
}
