package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/uptrace/bun"
)

// Numbers of server errors about XA.
const (
	errNotSupported  = 1235 // Of a statement; Galera refuses XA with it.
	errNoSuchXA      = 1397
	errXAFatal       = 1401 // Of a COMMIT, that it went wrong; of XA RECOVER, that there is no right to list.
	errAccessDenied  = 1227
	errXARollback    = 1402
	errXARollbackOut = 1613 // It took too long.
	errXADeadlock    = 1614
)

// CanPrepare tries it with a transaction of nothing.
func (d mysqlDriver) CanPrepare(ctx context.Context, bc bun.Conn) (string, error) {
	var b [12]byte
	_, _ = rand.Read(b[:]) // It never fails.
	xid, err := quoteID("probe-" + hex.EncodeToString(b[:]))
	if err != nil {
		return "", err
	}
	for _, query := range []string{"XA START ", "XA END ", "XA ROLLBACK "} {
		if _, err := bc.ExecContext(ctx, query+xid); err != nil {
			return refusal(err)
		}
	}
	if _, err := d.Prepared(ctx, bc); err != nil {
		return refusal(err)
	}
	return "", nil
}

func refusal(err error) (string, error) {
	var server *gomysql.MySQLError
	if !errors.As(err, &server) {
		return "", err
	}
	switch server.Number {
	case errNotSupported:
		return "its server refuses XA, as Galera does", nil
	case errXAFatal, errAccessDenied:
		return "its user has no right to XA RECOVER: grant XA_RECOVER_ADMIN", nil
	}
	return "", err
}

// CommitPrepared commits a prepared transaction.
func (mysqlDriver) CommitPrepared(ctx context.Context, bc bun.Conn, id string) error {
	return finishPrepared(ctx, bc, "XA COMMIT ", id)
}

// RollbackPrepared rolls a prepared transaction back.
func (mysqlDriver) RollbackPrepared(ctx context.Context, bc bun.Conn, id string) error {
	return finishPrepared(ctx, bc, "XA ROLLBACK ", id)
}

func finishPrepared(ctx context.Context, bc bun.Conn, statement, id string) error {
	xid, err := quoteID(id)
	if err != nil {
		return err
	}
	// Raw, so that the connection knows what was prepared on it; and as a query
	// of Bun's, so that its hooks see what is sent.
	_, err = bc.NewRaw(statement+"?", bun.Safe(xid)).Conn(finisher{bc, statement, xid}).Exec(ctx)
	return err
}

// A finisher ends a prepared transaction in place of what Bun would send.
type finisher struct {
	bun.Conn

	statement, xid string
}

// ExecContext ends it.
func (f finisher) ExecContext(ctx context.Context, _ string, _ ...any) (sql.Result, error) {
	err := f.Raw(func(dc any) error {
		c, ok := unwrap(dc)
		if !ok {
			return fmt.Errorf("mysql: %T is no connection of this driver", dc)
		}
		return c.finishXA(ctx, f.statement, f.xid)
	})
	return sqldriver.RowsAffected(0), err
}

// unwrap finds the connection of this package in what is wrapped around it.
func unwrap(dc any) (*conn, bool) {
	for {
		if c, ok := dc.(*conn); ok {
			return c, true
		}
		outer, ok := dc.(interface{ Unwrap() sqldriver.Conn })
		if !ok {
			return nil, false
		}
		dc = outer.Unwrap()
	}
}

// Prepared lists what is prepared on the server by this package, in whatever
// database.
func (mysqlDriver) Prepared(ctx context.Context, bc bun.Conn) (ids []string, err error) {
	rows, err := bc.QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			format, gtrid, bqual int64
			id                   string
		)
		if err := rows.Scan(&format, &gtrid, &bqual, &id); err != nil {
			return nil, err
		}
		if format == formatID && gtrid == int64(min(len(id), maxGtrid)) { // As quoteID cuts it.
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}
