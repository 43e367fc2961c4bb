package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// A naming is how a server compares the names of tables.
type naming struct {
	database string // What an empty schema stands for.
	fold     bool   // Case makes no difference.
}

func namingOf(ctx context.Context, db bun.IDB) (naming, error) {
	var database sql.NullString
	var lower int
	err := db.QueryRowContext(ctx, "SELECT DATABASE(), @@lower_case_table_names").Scan(&database, &lower)
	return naming{database: database.String, fold: lower != 0}, err
}

// full returns t with its schema, in a form that can be compared.
func (n naming) full(t driver.TableName) driver.TableName {
	if t.Schema == "" {
		t.Schema = n.database
	}
	if n.fold {
		t.Schema, t.Name = strings.ToLower(t.Schema), strings.ToLower(t.Name)
	}
	return t
}

// schemas returns the schemas of tables, once each.
func (n naming) schemas(tables []driver.TableName) []string {
	var names []string
	for _, t := range tables {
		if schema := n.full(t).Schema; !slices.Contains(names, schema) {
			names = append(names, schema)
		}
	}
	return names
}

// ExistingTables returns which of tables exist.
func (mysqlDriver) ExistingTables(ctx context.Context, db bun.IDB, tables []driver.TableName) ([]driver.TableName, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	n, err := namingOf(ctx, db)
	if err != nil {
		return nil, err
	}
	// All names are read and compared here: the catalogue's own collation
	// depends on the server.
	there := make(map[driver.TableName]bool)
	err = eachRow(ctx, db, func(scan func(...any) error) error {
		var t driver.TableName
		err := scan(&t.Schema, &t.Name)
		there[n.full(t)] = true
		return err
	}, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (?)",
		bun.List(n.schemas(tables)))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(tables), func(t driver.TableName) bool { return !there[n.full(t)] }), nil
}

// ExistingIndexes returns the names of the indexes of one table, PRIMARY among them.
func (mysqlDriver) ExistingIndexes(ctx context.Context, db bun.IDB, table driver.TableName) ([]string, error) {
	n, err := namingOf(ctx, db)
	if err != nil {
		return nil, err
	}
	t := n.full(table)
	var names []string
	err = eachRow(ctx, db, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	}, "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY INDEX_NAME",
		t.Schema, t.Name)
	return names, err
}

// A reference is a foreign key.
type reference struct {
	name     string
	from, to driver.TableName
}

// DropTables drops tables in the order given. Foreign keys that this order
// would leave dangling, those of a cycle, are dropped before, so the server's
// own checks stay on all the time. A table outside the list that refers to one
// inside is found before anything is dropped if it is in one of the list's
// schemas, and else by the server.
func (mysqlDriver) DropTables(ctx context.Context, db bun.IDB, tables []driver.TableName) error {
	if len(tables) == 0 {
		return nil
	}
	n, err := namingOf(ctx, db)
	if err != nil {
		return err
	}
	late, err := lateReferences(ctx, db, n, tables)
	if err != nil {
		return err
	}
	for _, r := range late {
		if _, err := db.ExecContext(ctx, "ALTER TABLE ?.? DROP FOREIGN KEY ?",
			bun.Name(r.from.Schema), bun.Name(r.from.Name), bun.Name(r.name)); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if t.Schema == "" {
			_, err = db.ExecContext(ctx, "DROP TABLE ?", bun.Name(t.Name))
		} else {
			_, err = db.ExecContext(ctx, "DROP TABLE ?.?", bun.Name(t.Schema), bun.Name(t.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lateReferences returns the foreign keys from a table to one that is dropped
// before it. One from outside the list is an error.
func lateReferences(ctx context.Context, db bun.IDB, n naming, tables []driver.TableName) ([]reference, error) {
	order := make(map[driver.TableName]int, len(tables))
	for i, t := range tables {
		order[n.full(t)] = i
	}
	all, err := references(ctx, db, n.schemas(tables))
	if err != nil {
		return nil, err
	}
	var late []reference
	var errs []error
	for _, r := range all {
		to, drop := order[n.full(r.to)]
		from, listed := order[n.full(r.from)]
		switch {
		case !drop:
		case !listed:
			errs = append(errs, &ddlError{
				class: driver.ForeignKey,
				text: fmt.Sprintf("table %q has the foreign key %q to %q and is not to be dropped with it: drop it first",
					r.from.Name, r.name, r.to.Name),
			})
		case from > to:
			late = append(late, r)
		}
	}
	return late, errors.Join(errs...)
}

// references returns the foreign keys of all tables in schemas.
func references(ctx context.Context, db bun.IDB, schemas []string) ([]reference, error) {
	var all []reference
	err := eachRow(ctx, db, func(scan func(...any) error) error {
		var r reference
		err := scan(&r.name, &r.from.Schema, &r.from.Name, &r.to.Schema, &r.to.Name)
		all = append(all, r)
		return err
	}, "SELECT DISTINCT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME "+
		"FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA IN (?) AND REFERENCED_TABLE_NAME IS NOT NULL",
		bun.List(schemas))
	return all, err
}

// eachRow runs a query and calls read for each of its rows.
func eachRow(ctx context.Context, db bun.IDB, read func(scan func(...any) error) error, query string, args ...any) (err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
