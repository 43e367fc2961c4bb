package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// An xaTx is a transaction that may be prepared. MySQL and MariaDB want to
// know that, and its ID, when it begins.
type xaTx struct {
	conn   *conn
	branch *driver.Branch
	xid    string // As SQL.
	limit  time.Duration
}

const (
	maxID        = 128
	maxGtrid     = 64
	idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-~@"

	// formatID tells our transactions from those of other programs.
	formatID = 0x65627578
)

// quoteID returns an ID as SQL. What is too long for the first part of an XA
// transaction's name goes into the second.
func quoteID(id string) (string, error) {
	if id == "" || len(id) > maxID || strings.Trim(id, idCharacters) != "" {
		return "", fmt.Errorf("mysql: %q cannot be the ID of a prepared transaction", id)
	}
	cut := min(len(id), maxGtrid)
	return fmt.Sprintf("'%s','%s',%d", id[:cut], id[cut:], formatID), nil
}

// isolations are the levels that there are.
var isolations = map[sql.IsolationLevel]string{
	sql.LevelReadUncommitted: "READ UNCOMMITTED",
	sql.LevelReadCommitted:   "READ COMMITTED",
	sql.LevelRepeatableRead:  "REPEATABLE READ",
	sql.LevelSerializable:    "SERIALIZABLE",
}

// beginXA begins a transaction that may be prepared.
func (c *conn) beginXA(ctx context.Context, opts sqldriver.TxOptions, b *driver.Branch) (sqldriver.Tx, error) {
	xid, err := quoteID(b.ID)
	if err != nil {
		return nil, err
	}
	settings, err := xaSettings(opts)
	if err != nil {
		return nil, err
	}
	for _, query := range append(settings, "XA START "+xid) {
		if _, err := c.inner.ExecContext(ctx, query, nil); err != nil {
			c.broken = len(settings) > 0 // They would be the next transaction's.
			return nil, harmless(ctx, err)
		}
	}
	b.Fixed = true
	return &xaTx{conn: c, branch: b, xid: xid, limit: wire.CommitTimeout(ctx)}, nil
}

// xaSettings are the statements that set the options of the next transaction.
func xaSettings(opts sqldriver.TxOptions) ([]string, error) {
	var settings []string
	if level := sql.IsolationLevel(opts.Isolation); level != sql.LevelDefault {
		name, ok := isolations[level]
		if !ok {
			return nil, fmt.Errorf("mysql: unsupported isolation level %q", level)
		}
		settings = append(settings, "SET TRANSACTION ISOLATION LEVEL "+name)
	}
	if opts.ReadOnly {
		settings = append(settings, "SET TRANSACTION READ ONLY")
	}
	return settings, nil
}

// Commit commits the transaction, or prepares it if its branch says so. Up to
// XA END the server rolls back what it hears no more of.
func (t *xaTx) Commit() error {
	if !t.conn.inner.IsValid() {
		t.conn.broken = true
		return sqldriver.ErrBadConn
	}
	ended := false
	err := t.conn.bounded(t.limit, func() error {
		if err := t.exec("XA END " + t.xid); err != nil {
			return err
		}
		ended = true
		if t.branch.Prepare {
			return t.exec("XA PREPARE " + t.xid)
		}
		return t.exec("XA COMMIT " + t.xid + " ONE PHASE")
	})
	var refused *gomysql.MySQLError
	switch {
	case err == nil:
		if t.branch.Prepare {
			t.conn.prepared = t.xid
		}
		return nil
	case isUnclear(err):
		t.conn.broken = true
		return wire.OutcomeUnknown(err)
	case errors.As(err, &refused):
		return errors.Join(err, t.Rollback())
	case ended:
		return wire.OutcomeUnknown(err)
	}
	return err
}

// Rollback rolls back. The server does that by itself if the connection is lost.
func (t *xaTx) Rollback() error {
	if !t.conn.inner.IsValid() {
		t.conn.broken = true
		return nil
	}
	return t.conn.bounded(t.limit, func() error {
		var refused *gomysql.MySQLError
		// A deadlock has ended the work already, and is no reason to stop here.
		if err := t.exec("XA END " + t.xid); err != nil && !errors.As(err, &refused) {
			return err
		}
		return t.exec("XA ROLLBACK " + t.xid)
	})
}

func (t *xaTx) exec(query string) error { return t.conn.plain(query) }

// plain runs a statement that no context can stop.
func (c *conn) plain(query string) error {
	_, err := c.inner.ExecContext(context.Background(), query, nil)
	return err
}

// finishXA commits or rolls back a prepared transaction, and hangs up when
// ctx ends: what a late KILL would stop is not known.
func (c *conn) finishXA(ctx context.Context, statement, xid string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	err := c.plain(statement + xid) //nolint:contextcheck // It hangs up by itself.
	if !stop() || err != nil && isLost(err) {
		c.broken = true
	}
	var refused *gomysql.MySQLError
	switch {
	case err == nil:
		if c.prepared == xid {
			c.prepared = ""
		}
		return nil
	case errors.As(err, &refused) && (refused.Number == errNoSuchXA || refused.Number == errXARollback):
		// The second one is of a branch that had written nothing.
		return fmt.Errorf("%w: %w", driver.ErrNotPrepared, err)
	case errors.As(err, &refused) && !isUnclear(err):
		return err // Of the connection, say, which is in another transaction: this one is still prepared.
	}
	return wire.OutcomeUnknown(errors.Join(ctx.Err(), err))
}

// isUnclear reports whether the server says that a commit went wrong when it had
// begun: a part of it may be done.
func isUnclear(err error) bool {
	var refused *gomysql.MySQLError
	return errors.As(err, &refused) && refused.Number == errXAFatal
}
