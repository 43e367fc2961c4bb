package echobun

import (
	"sync/atomic"

	"github.com/echobun/echobun/driver"
)

// A contact remembers why a database was unavailable when it was last asked.
// Whoever waits for a connection meanwhile learns it from this: those that hold
// all of them do not get an answer either. It is safe for concurrent use.
type contact struct {
	lost atomic.Pointer[BindError] // Nil if the database has answered since.
}

func (c *contact) answered() {
	if c.lost.Load() != nil {
		c.lost.Store(nil)
	}
}

func (c *contact) failed(err *BindError) {
	if err.class&driver.Unavailable != 0 {
		c.lost.Store(err)
	}
}

// poolTimeout returns the error of a wait for a connection that was too long,
// or nil if that is not what happened.
func (e *engine) poolTimeout(w *waiter) *poolTimeoutError {
	timeout := e.pool.timedOut(w)
	if timeout != nil {
		timeout.lost = e.contact.lost.Load()
	}
	return timeout
}
