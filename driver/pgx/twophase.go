package pgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

const (
	codeUndefinedObject       = "42704"
	codeNotInState            = "55000" // Of a COMMIT PREPARED: another session is at it.
	codeInsufficientPrivilege = "42501"

	maxID = 128
	// busyLimit is how long a transaction that another session is at is tried
	// again, unless the context ends: it may not get through with it.
	busyLimit = 500 * time.Millisecond
	busyPause = 10 * time.Millisecond

	idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-~@"
)

// quoteID returns the ID of a prepared transaction as SQL.
func quoteID(id string) (string, error) {
	if id == "" || len(id) > maxID || strings.Trim(id, idCharacters) != "" {
		return "", fmt.Errorf("pgx: %q cannot be the ID of a prepared transaction", id)
	}
	return "'" + id + "'", nil
}

// prepare prepares the transaction. The server answers an aborted one with
// success too, but says ROLLBACK.
func (t *tx) prepare(id string) error {
	quoted, err := quoteID(id)
	if err != nil {
		return errors.Join(err, t.Rollback())
	}
	return t.end("prepare transaction "+quoted, "PREPARE TRANSACTION")
}

// CanPrepare returns a refusal if the server keeps no prepared transactions.
func (postgres) CanPrepare(ctx context.Context, conn bun.Conn) (string, error) {
	var most int
	if err := conn.QueryRowContext(ctx, "SHOW max_prepared_transactions").Scan(&most); err != nil {
		return "", err
	}
	if most == 0 {
		return "max_prepared_transactions is 0 on the server", nil
	}
	return "", nil
}

// CommitPrepared commits a prepared transaction.
func (postgres) CommitPrepared(ctx context.Context, conn bun.Conn, id string) error {
	return finishPrepared(ctx, conn, "COMMIT PREPARED ", id)
}

// RollbackPrepared rolls a prepared transaction back.
func (postgres) RollbackPrepared(ctx context.Context, conn bun.Conn, id string) error {
	return finishPrepared(ctx, conn, "ROLLBACK PREPARED ", id)
}

func finishPrepared(ctx context.Context, bc bun.Conn, statement, id string) error {
	quoted, err := quoteID(id)
	if err != nil {
		return err
	}
	err = finishNow(ctx, bc, statement, quoted)
	for start := time.Now(); isBusy(err) && time.Since(start) < busyLimit; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errAtIt, err)
		case <-time.After(busyPause):
		}
		err = finishNow(ctx, bc, statement, quoted)
	}
	if isBusy(err) {
		return fmt.Errorf("%w: %w", errAtIt, err)
	}
	if pgErr := serverError(err); pgErr != nil && pgErr.Code == codeUndefinedObject {
		return fmt.Errorf("%w: %w", driver.ErrNotPrepared, err)
	}
	return err
}

// errAtIt is no [driver.ErrNotPrepared]: the other session may fail, and leave
// the transaction prepared.
var errAtIt = errors.New("pgx: another session is about to finish the prepared transaction")

func isBusy(err error) bool {
	pgErr := serverError(err)
	return pgErr != nil && pgErr.Code == codeNotInState
}

// finishNow finishes a transaction, whoever has prepared it.
func finishNow(ctx context.Context, bc bun.Conn, statement, quoted string) error {
	_, err := bc.ExecContext(ctx, statement+quoted)
	if pgErr := serverError(err); pgErr != nil && pgErr.Code == codeInsufficientPrivilege {
		return finishAsOwner(ctx, bc, statement, quoted)
	}
	return err
}

// finishAsOwner finishes a transaction that was in another role when it was
// prepared, by SET LOCAL ROLE for instance. The connection goes after that, as
// always when a statement has left something in its session.
func finishAsOwner(ctx context.Context, bc bun.Conn, statement, quoted string) error {
	// The role's name, which others may have chosen, does not leave the server.
	const take = "SELECT pg_catalog.set_config('role', owner::text, false) FROM pg_catalog.pg_prepared_xacts WHERE gid = "
	if _, err := bc.ExecContext(ctx, take+quoted); err != nil {
		return err
	}
	_, err := bc.ExecContext(ctx, statement+quoted)
	return err
}

// Prepared lists what is prepared in the connection's database.
func (postgres) Prepared(ctx context.Context, conn bun.Conn) (ids []string, err error) {
	var found []struct {
		Standby bool
		GID     sql.NullString `bun:"gid"` // None is in a row of its own.
	}
	err = conn.NewRaw("SELECT pg_is_in_recovery() AS standby, gid FROM (SELECT 1) AS always "+
		"LEFT JOIN pg_prepared_xacts ON database = current_database()").Scan(ctx, &found)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.Standby {
			return nil, driver.ErrStandby
		}
		if f.GID.Valid {
			ids = append(ids, f.GID.String)
		}
	}
	return ids, nil
}
