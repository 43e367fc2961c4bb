package mysql

import (
	sqldriver "database/sql/driver"
	"errors"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/internal/wire"
)

// A tx is a transaction whose end is bounded.
type tx struct {
	inner sqldriver.Tx
	conn  *conn
	limit time.Duration
}

// Commit commits. Any error that the server did not send itself leaves the
// outcome unknown, unless the COMMIT was never sent.
func (t *tx) Commit() error {
	t.conn.guard = guard{}
	unsent := !t.conn.inner.IsValid()
	err := t.conn.bounded(t.limit, t.inner.Commit)
	var refused *gomysql.MySQLError
	if err == nil || unsent || errors.As(err, &refused) {
		return err
	}
	return wire.OutcomeUnknown(err)
}

// Rollback rolls back. The server does that by itself if the connection is lost.
func (t *tx) Rollback() error {
	t.conn.guard = guard{}
	if !t.conn.inner.IsValid() {
		t.conn.broken = true
		return nil
	}
	return t.conn.bounded(t.limit, t.inner.Rollback)
}

// bounded hangs up when end takes too long: go-sql-driver waits for ever.
func (c *conn) bounded(limit time.Duration, end func() error) error {
	timer := time.AfterFunc(limit, func() { _ = c.net.Close() })
	err := end()
	if !timer.Stop() || err != nil {
		c.broken = true
	}
	return err
}
