package echobun

import (
	"errors"
	"sync"
	"syscall"
	"time"
)

// refusalLife is how long a server that refuses connections is not asked
// again. Clients that are told at once come back at once, and each attempt costs
// the processor as much as a query: those of the other binds would feel it.
const refusalLife = 20 * time.Millisecond

// A refusal remembers that no server listens where an engine connects to. It
// is safe for concurrent use.
type refusal struct {
	mu    sync.Mutex // Protects what follows.
	err   error
	until time.Time
}

// recent returns the error of a connection that has just been refused, or nil.
func (r *refusal) recent() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

// note remembers err if it says that the connection was refused.
func (r *refusal) note(err error) {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.until = err, time.Now().Add(refusalLife)
}
