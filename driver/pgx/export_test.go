package pgx

import (
	sqldriver "database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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

// StraysAfter reports whether a statement that fails by later is taken for a
// victim of a request to cancel. That was sent just now, and has hit its own
// statement, which failed by own, unless that is nil.
func StraysAfter(own, later *pgconn.PgError) bool {
	c := &canceller{sent: time.Now(), hits: cancelHits}
	if own != nil {
		c.strikes(own)
	}
	return c.strays(later)
}
