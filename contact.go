package echobun

import (
	"errors"
	"sync/atomic"

	"github.com/echobun/echobun/driver"
)

// A contact remembers why a server did not answer when it was last asked.
// Whoever waits for a connection meanwhile learns it from this: those that hold
// all of them do not get an answer either. It is safe for concurrent use.
type contact struct {
	lost atomic.Pointer[BindError] // Nil if the server has answered since.
}

func (c *contact) answered() {
	if c.lost.Load() != nil {
		c.lost.Store(nil)
	}
}

// unanswered is told of a connection that could not be made.
func (c *contact) unanswered(err *BindError) {
	if err.class&driver.Unavailable != 0 {
		c.lost.Store(err)
	}
}

// heard is told how a statement has ended. A server that refuses one, for its
// disk is full for instance, has answered.
func (c *contact) heard(err error) {
	var bindErr *BindError
	switch {
	case err == nil:
		c.answered()
	case errors.As(err, &bindErr) && bindErr.class&driver.OutcomeUnknown != 0:
		c.unanswered(bindErr)
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
