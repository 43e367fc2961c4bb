package sqlite

import (
	"context"
	"math/rand/v2"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

type waitKey struct{}

// withWait makes the statements of ctx wait for locks up to d, whatever
// busy_timeout is.
func withWait(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, waitKey{}, d)
}

// limit is the longest that a statement with ctx waits for locks.
func (c *conn) limit(ctx context.Context) time.Duration {
	if d, ok := ctx.Value(waitKey{}).(time.Duration); ok {
		return d
	}
	return c.n.set.busyTimeout
}

// patiently runs call, and runs it again while it is refused because of the
// lock of somebody else, until limit is over or ctx ends. SQLite's own waiting
// does not end with a context. What is refused has done nothing, and can be
// done again, unless it has read what is not true any more.
func (c *conn) patiently(ctx context.Context, limit time.Duration, call func() error) error {
	if h := c.in.handle; h != nil {
		h.waitForLocks(0)
		defer h.waitForLocks(int(c.n.set.busyTimeout.Milliseconds()))
	}
	start := time.Now()
	for n := 0; ; n++ {
		err := call()
		if !isBusy(err) || extendedCodeOf(err) == sqlite3.SQLITE_BUSY_SNAPSHOT {
			return err
		}
		waited := time.Since(start)
		if waited >= limit {
			return &lockError{where: c.n.where, waited: waited, cause: err}
		}
		select {
		case <-ctx.Done():
			return &lockError{where: c.n.where, waited: waited, cause: ctx.Err()}
		case <-time.After(min(pause(n), limit-waited)):
		}
	}
}

// pause grows from 1 to 32 ms, and differs between those who wait.
func pause(n int) time.Duration {
	longest := time.Millisecond << min(n, 5)
	return longest/2 + rand.N(longest/2+1)
}
