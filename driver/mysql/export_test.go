package mysql

import (
	sqldriver "database/sql/driver"

	gomysql "github.com/go-sql-driver/mysql"
)

var (
	FirstWord      = firstWord
	Named          = named
	LockName       = lockName
	ServerFeatures = serverFeatures
)

// ConfigOf returns what go-sql-driver is configured with.
func ConfigOf(c sqldriver.Connector) *gomysql.Config {
	ours, ok := c.(*connector)
	if !ok {
		return nil
	}
	return ours.settings.cfg
}

// LeavesState reports whether a statement leaves something in its session.
var LeavesState = leavesState

// WithExponents is withExponents.
func WithExponents(query string) string { return withExponents(query) }

// IsUnclear is isUnclear.
var IsUnclear = isUnclear

// WithCounterKey is withCounterKey.
var WithCounterKey = withCounterKey
