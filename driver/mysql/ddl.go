package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// A ddlError is a failure of DDL that the server does not report itself.
type ddlError struct {
	class driver.Class
	text  string
}

func (e *ddlError) Error() string { return "mysql: " + e.text }

const (
	// lockPrefix begins the name of the lock for one database.
	lockPrefix = "echobun:"
	// maxLockName is how long a lock's name may be.
	maxLockName = 64
	// cleanupLimit bounds the way back to how a connection was.
	cleanupLimit = 5 * time.Second
)

// BeginDDL takes a lock by the database's name, and has the session wait no
// longer than wait for the locks of tables. Every statement of DDL commits by
// itself here, so nothing is rolled back in the end.
func (mysqlDriver) BeginDDL(ctx context.Context, conn bun.Conn, wait time.Duration) (bun.IDB, func(error) error, error) {
	var database sql.NullString
	var before int64
	row := conn.QueryRowContext(ctx, "SELECT DATABASE(), @@SESSION.lock_wait_timeout")
	if err := row.Scan(&database, &before); err != nil {
		return nil, nil, err
	}
	if !database.Valid {
		return nil, nil, &ddlError{text: "no database is selected: name one behind the / of the URL"}
	}
	lock, seconds := lockName(database.String), wholeSeconds(wait)
	var once sync.Once
	finish := func(cause error) error {
		once.Do(func() { giveBack(ctx, conn, lock, before) })
		return cause
	}
	if err := takeLock(ctx, conn, lock, seconds); err != nil {
		return nil, nil, finish(err)
	}
	return conn, finish, nil
}

// takeLock waits for the lock. Before that it sees to it that no statement
// waits any longer for a table.
func takeLock(ctx context.Context, conn bun.Conn, lock string, seconds int64) error {
	ctx = wire.WithOwnSession(ctx) // Both are taken back.
	if _, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = ?", max(seconds, 1)); err != nil {
		return err
	}
	var granted sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", lock, seconds).Scan(&granted); err != nil {
		return err
	}
	if granted.Int64 != 1 {
		return &ddlError{
			class: driver.Serialization,
			text:  fmt.Sprintf("the lock %q, for changes of tables, was not granted within %d s", lock, seconds),
		}
	}
	return nil
}

// lockName returns the name of the lock for one database: locks belong to the
// server, not to a database.
func lockName(database string) string {
	if name := lockPrefix + database; len(name) <= maxLockName {
		return name
	}
	sum := sha256.Sum256([]byte(database))
	return lockPrefix + hex.EncodeToString(sum[:16])
}

// wholeSeconds rounds up, since 0 would mean not to wait at all.
func wholeSeconds(d time.Duration) int64 {
	return int64(math.Ceil(max(d, 0).Seconds()))
}

// giveBack leaves conn as it was. What it cannot do, the end of the connection
// does, which releases the lock too.
func giveBack(ctx context.Context, conn bun.Conn, lock string, lockWait int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	ctx = wire.WithOwnSession(ctx)
	_, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = ?", lockWait)
	if err == nil {
		_, err = conn.ExecContext(ctx, "DO RELEASE_LOCK(?)", lock)
	}
	if err != nil {
		_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
}

// LateForeignKeys reports true: InnoDB refuses a reference to a table that is
// not there.
func (mysqlDriver) LateForeignKeys() bool { return true }
