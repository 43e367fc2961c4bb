package pgx

import (
	sqldriver "database/sql/driver"
	"time"
)

// NewConfig makes pgx's configuration of a URL and the options.
var NewConfig = newConfig

// MayCommit reports whether a statement may end a transaction.
var MayCommit = mayCommit

// XIDFunctions returns the functions about transactions of a server's version.
func XIDFunctions(version string) (current, status string) {
	f := newXIDFunctions(version)
	return f.current, f.status
}

// SetSpareLife sets how long a connection waits for a caller.
func SetSpareLife(c sqldriver.Connector, life time.Duration) {
	if c, ok := c.(*connector); ok {
		c.dialer.life = life
	}
}

// LeavesState reports whether a statement leaves something in its session.
var LeavesState = leavesState
