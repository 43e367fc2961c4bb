package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"time"
)

// Writes tells whether a text needs the lock of a writer.
func Writes(query string) bool { return verbOf(query)&writes != 0 }

// Controls tells whether a text begins or ends a transaction or a savepoint.
func Controls(query string) bool { return verbOf(query)&controls != 0 }

// Script tells whether a text holds several statements.
func Script(query string) bool { return verbOf(query)&script != 0 }

// Gates is how many gates are remembered.
func Gates() int {
	gates.Lock()
	defer gates.Unlock()
	return len(gates.byName)
}

// GateOf is gateOf.
var GateOf = gateOf

// HandleOf tells whether a connection would give its handle away.
func HandleOf(c sqldriver.Conn) bool {
	h := handleOf(c)
	h.close()
	return h != nil
}

// HasHandle tells whether a connection gave its handle away.
func HasHandle(driverConn any) bool {
	c, ok := driverConn.(*conn)
	return ok && c.in.handle != nil
}

// DropHandle makes a connection that of an unknown modernc.org/sqlite.
func DropHandle(driverConn any) {
	if c, ok := driverConn.(*conn); ok {
		c.in.handle.close()
		c.in.handle = nil
	}
}

// Lingers reports whether a text leaves something in its connection.
func Lingers(query string) bool { return verbOf(query)&lingers != 0 }

// Pass waits for a unit's turn at a gate.
func Pass(ctx context.Context, g *gate, unit any) error {
	_, err := g.lock(ctx, time.Minute, unit)
	return err
}

// Leave lets the next one through a gate.
func Leave(g *gate) { g.unlock() }

// Waiting is how many wait at a gate.
func Waiting(g *gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.Len()
}
