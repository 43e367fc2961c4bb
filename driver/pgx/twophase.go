package pgx

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

const (
	codeUndefinedObject = "42704"

	maxID        = 128
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
	_, err = bc.ExecContext(ctx, statement+quoted)
	if pgErr := serverError(err); pgErr != nil && pgErr.Code == codeUndefinedObject {
		return fmt.Errorf("%w: %w", driver.ErrNotPrepared, err)
	}
	return err
}

// Prepared lists what is prepared in the connection's database.
func (postgres) Prepared(ctx context.Context, conn bun.Conn) (ids []string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
