package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// BeginDDL begins a transaction that holds SQLite's lock of a writer.
func (sqliteDriver) BeginDDL(ctx context.Context, conn bun.Conn, wait time.Duration) (bun.IDB, func(error) error, error) {
	tx, err := conn.BeginTx(withWait(ctx, wait), nil)
	if err != nil {
		return nil, nil, err
	}
	finish := func(failure error) error {
		if failure == nil {
			err := tx.Commit()
			if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
			return err
		}
		return nil
	}
	return tx, finish, nil
}

// ExistingTables returns which of tables exist, views included: they take the
// name. SQLite does not tell upper from lower case in names.
func (sqliteDriver) ExistingTables(ctx context.Context, db bun.IDB, tables []driver.TableName) ([]driver.TableName, error) {
	names := make(map[string]map[string]bool) // By schema.
	var existing []driver.TableName
	for _, t := range tables {
		known, ok := names[t.Schema]
		if !ok {
			list, err := tablesIn(ctx, db, t.Schema, "table", "view")
			if err != nil {
				return nil, err
			}
			known = make(map[string]bool)
			for _, name := range list {
				known[fold(name)] = true
			}
			names[t.Schema] = known
		}
		if known[fold(t.Name)] {
			existing = append(existing, t)
		}
	}
	return existing, nil
}

// ExistingIndexes returns the indexes of a table but those that SQLite has
// made for its constraints.
func (sqliteDriver) ExistingIndexes(ctx context.Context, db bun.IDB, table driver.TableName) ([]string, error) {
	return texts(ctx, db, "SELECT name FROM pragma_index_list(?, ?) WHERE origin = 'c'", table.Name, schemaOf(table))
}

// LateForeignKeys reports that a foreign key may be declared before the table
// that it refers to.
func (sqliteDriver) LateForeignKeys() bool { return false }

// DropTables drops tables in the order given. Rows that refer to a row of a
// dropped table are looked at when the transaction commits, so cycles do not
// matter.
func (sqliteDriver) DropTables(ctx context.Context, db bun.IDB, tables []driver.TableName) error {
	if err := checkReferences(ctx, db, tables); err != nil {
		return err
	}
	// It ends with the transaction.
	if _, err := db.ExecContext(wire.WithOwnSession(ctx), "PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	for _, t := range tables {
		if _, err := db.ExecContext(ctx, "DROP TABLE ?.?", bun.Ident(schemaOf(t)), bun.Ident(t.Name)); err != nil {
			return err
		}
	}
	return nil
}

// checkReferences looks for tables that would be left with a foreign key to a
// table that is gone: SQLite itself would drop it, and then refuse to write.
func checkReferences(ctx context.Context, db bun.IDB, tables []driver.TableName) error {
	dropped := make(map[string]map[string]bool) // By schema: foreign keys do not leave it.
	for _, t := range tables {
		schema := fold(schemaOf(t))
		if dropped[schema] == nil {
			dropped[schema] = make(map[string]bool)
		}
		dropped[schema][fold(t.Name)] = true
	}
	for schema, names := range dropped {
		var children, parents []string
		err := db.NewRaw(`SELECT t.name, f."table" FROM ?.sqlite_master AS t, pragma_foreign_key_list(t.name, ?) AS f
			WHERE t.type = 'table'`, bun.Ident(schema), schema).Scan(ctx, &children, &parents)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		for i, child := range children {
			if !names[fold(child)] && names[fold(parents[i])] {
				return &referenceError{table: child, to: parents[i]}
			}
		}
	}
	return nil
}

// tablesIn returns the names of what a schema holds of some kinds.
func tablesIn(ctx context.Context, db bun.IDB, schema string, kinds ...string) ([]string, error) {
	return texts(ctx, db, "SELECT name FROM ?.sqlite_master WHERE type IN (?)",
		bun.Ident(schemaOf(driver.TableName{Schema: schema})), bun.List(kinds))
}

func texts(ctx context.Context, db bun.IDB, query string, args ...any) ([]string, error) {
	var list []string
	err := db.NewRaw(query, args...).Scan(ctx, &list)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return list, err
}

func schemaOf(t driver.TableName) string {
	if t.Schema == "" {
		return "main"
	}
	return t.Schema
}

// fold maps names that SQLite takes for one to one: it folds ASCII only.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
