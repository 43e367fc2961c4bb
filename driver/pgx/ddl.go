package pgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// schemaLock is the key of the advisory lock that keeps processes from
// changing the schema at once: "echobun" in ASCII.
const schemaLock int64 = 0x6563686f62756e

// BeginDDL begins a transaction that holds the advisory lock. Each lock that it
// or a statement in it waits for is waited for until ctx ends, and no longer than wait
// if that is positive.
func (postgres) BeginDDL(ctx context.Context, conn bun.Conn, wait time.Duration) (bun.IDB, func(error) error, error) {
	// Until the commit begins ctx cancels the transaction, but not after.
	txCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	disarm := context.AfterFunc(ctx, cancel)
	// With a level above it, statements would not see the tables that another
	// process made while this one waited for the lock.
	tx, err := conn.BeginTx(txCtx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err == nil {
		err = lockSchema(ctx, tx, wait)
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	if err != nil {
		disarm()
		cancel()
		return nil, nil, err
	}
	return tx, func(err error) error {
		defer cancel()
		armed := disarm()
		switch {
		case err != nil:
			return ignoreDone(tx.Rollback())
		case !armed:
			return errors.Join(ctx.Err(), ignoreDone(tx.Rollback()))
		}
		return tx.Commit()
	}, nil
}

// lockSchema takes the advisory lock until the end of the transaction. All that it
// sets ends with the transaction, too.
func lockSchema(ctx context.Context, tx bun.Tx, wait time.Duration) error {
	if wait > 0 {
		limit := fmt.Sprintf("SET LOCAL lock_timeout = %d", max(wait.Milliseconds(), 1))
		if _, err := tx.ExecContext(ctx, limit); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_catalog.pg_advisory_xact_lock(?)", schemaLock); err != nil {
		return fmt.Errorf("pgx: wait for another process that changes the schema: %w", err)
	}
	return nil
}

// ignoreDone drops the error of a roll-back that has happened already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// relation is a table, view or the like in the catalogue.
type relation struct {
	Schema  string `bun:"schema"`
	Name    string `bun:"name"`
	Visible bool   `bun:"visible"` // It is what its name alone means, by search_path.
}

// ExistingTables returns which of tables exist. A view counts, as no
// table of that name can be made. Without a schema any that search_path leads to
// counts, but for the system's own.
func (postgres) ExistingTables(ctx context.Context, db bun.IDB, tables []driver.TableName) ([]driver.TableName, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	var found []relation
	err := db.NewRaw(`SELECT n.nspname AS schema, c.relname AS name,
			pg_catalog.pg_table_is_visible(c.oid) AND n.nspname <> 'pg_catalog' AS visible
		FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relname IN ?`, bun.Tuple(names)).Scan(ctx, &found)
	if err != nil {
		return nil, err
	}
	exists := make(map[driver.TableName]bool, len(found))
	for _, r := range found {
		exists[driver.TableName{Schema: r.Schema, Name: r.Name}] = true
		if r.Visible {
			exists[driver.TableName{Name: r.Name}] = true
		}
	}
	var existing []driver.TableName
	for _, t := range tables {
		if exists[t] {
			existing = append(existing, t)
		}
	}
	return existing, nil
}

// ExistingIndexes returns the names of the indexes of one table.
func (postgres) ExistingIndexes(ctx context.Context, db bun.IDB, table driver.TableName) ([]string, error) {
	var names []string
	err := db.NewRaw(`SELECT i.relname
		FROM pg_catalog.pg_index AS x
		JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
		JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relname = ?0 AND CASE ?1 WHEN '' THEN pg_catalog.pg_table_is_visible(c.oid) AND n.nspname <> 'pg_catalog'
			ELSE n.nspname = ?1 END
		ORDER BY i.relname`, table.Name, table.Schema).Scan(ctx, &names)
	return names, err
}

// LateForeignKeys reports true: the table that a foreign key refers to has to
// exist.
func (postgres) LateForeignKeys() bool { return true }

// DropTables drops tables in one statement, so that they may refer to each
// other, and without CASCADE, so that nothing else is touched.
func (postgres) DropTables(ctx context.Context, db bun.IDB, tables []driver.TableName) error {
	if len(tables) == 0 {
		return nil
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = quoteName(t.Name)
		if t.Schema != "" {
			names[i] = quoteName(t.Schema) + "." + names[i]
		}
	}
	_, err := db.ExecContext(ctx, "DROP TABLE ?", bun.Safe(strings.Join(names, ", ")))
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Detail != "" {
		return fmt.Errorf("%w: %s", err, pgErr.Detail) // It names what refers to the tables.
	}
	return err
}

func quoteName(s string) string {
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
