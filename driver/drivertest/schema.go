package drivertest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// change runs do as CreateAll and DropAll would.
func change(ctx context.Context, db database, ddl driver.DDL, do func(bun.IDB) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	idb, finish, err := ddl.BeginDDL(ctx, conn, 10*time.Second)
	if err != nil {
		return err
	}
	err = do(idb)
	return errors.Join(err, finish(err))
}

// testSchemaChangesExclude has ten pools change the schema at once.
func (s suite) testSchemaChangesExclude(t *testing.T) {
	first := s.open(t)
	ddl, ok := first.drv.(driver.DDL)
	if !ok {
		return
	}
	var inside, most atomic.Int32
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		db := s.openURL(t, first.url)
		wg.Go(func() {
			errs[i] = change(t.Context(), db, ddl, func(idb bun.IDB) error {
				most.Store(max(most.Load(), inside.Add(1)))
				defer inside.Add(-1)
				_, err := idb.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS shared (id integer)")
				time.Sleep(10 * time.Millisecond)
				return err
			})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.EqualValues(t, 1, most.Load(), "two changed the schema at once")
}

func (s suite) testFindsTablesAndIndexes(t *testing.T) {
	db := s.open(t)
	ddl, ok := db.drv.(driver.DDL)
	if !ok {
		return
	}
	db.exec(t, "CREATE TABLE here (id integer, v integer)", "CREATE INDEX ix_here_v ON here (v)")

	err := change(t.Context(), db, ddl, func(idb bun.IDB) error {
		found, err := ddl.ExistingTables(t.Context(), idb, []driver.TableName{{Name: "here"}, {Name: "nowhere"}})
		require.NoError(t, err)
		require.Equal(t, []driver.TableName{{Name: "here"}}, found)

		indexes, err := ddl.ExistingIndexes(t.Context(), idb, driver.TableName{Name: "here"})
		require.NoError(t, err)
		require.Contains(t, indexes, "ix_here_v")

		found, err = ddl.ExistingTables(t.Context(), idb, nil)
		require.Empty(t, found)
		return err
	})
	require.NoError(t, err)
	db.requireIdle(t)
}

// testDropsCycles drops two tables that refer to each other, with rows.
func (s suite) testDropsCycles(t *testing.T) {
	db := s.open(t)
	ddl, ok := db.drv.(driver.DDL)
	if !ok {
		return
	}
	if ddl.LateForeignKeys() {
		db.exec(t,
			"CREATE TABLE hens (id integer NOT NULL PRIMARY KEY, egg integer)",
			"CREATE TABLE eggs (id integer NOT NULL PRIMARY KEY, hen integer, FOREIGN KEY (hen) REFERENCES hens (id))",
			"INSERT INTO hens (id, egg) VALUES (1, 1)",
			"INSERT INTO eggs (id, hen) VALUES (1, 1)",
			"ALTER TABLE hens ADD FOREIGN KEY (egg) REFERENCES eggs (id)",
		)
	} else {
		db.exec(t,
			"CREATE TABLE hens (id integer NOT NULL PRIMARY KEY, egg integer, FOREIGN KEY (egg) REFERENCES eggs (id))",
			"CREATE TABLE eggs (id integer NOT NULL PRIMARY KEY, hen integer, FOREIGN KEY (hen) REFERENCES hens (id))",
			"INSERT INTO hens (id) VALUES (1)",
			"INSERT INTO eggs (id, hen) VALUES (1, 1)",
			"UPDATE hens SET egg = 1",
		)
	}

	cycle := []driver.TableName{{Name: "hens"}, {Name: "eggs"}}
	require.NoError(t, change(t.Context(), db, ddl, func(idb bun.IDB) error {
		return ddl.DropTables(t.Context(), idb, cycle)
	}))
	requireTables(t, db, ddl, cycle, 0)
}

// testDropsNothingUnasked has a table that refers to one to be dropped.
func (s suite) testDropsNothingUnasked(t *testing.T) {
	db := s.open(t)
	ddl, ok := db.drv.(driver.DDL)
	if !ok {
		return
	}
	db.exec(t,
		"CREATE TABLE parents (id integer NOT NULL PRIMARY KEY)",
		"CREATE TABLE strangers (parent integer, FOREIGN KEY (parent) REFERENCES parents (id))",
		"INSERT INTO parents (id) VALUES (1)",
		"INSERT INTO strangers (parent) VALUES (1)",
	)
	require.Error(t, change(t.Context(), db, ddl, func(idb bun.IDB) error {
		return ddl.DropTables(t.Context(), idb, []driver.TableName{{Name: "parents"}})
	}))
	requireTables(t, db, ddl, []driver.TableName{{Name: "parents"}, {Name: "strangers"}}, 2)
	db.exec(t, "INSERT INTO parents (id) VALUES (2)")
}

func requireTables(t *testing.T, db database, ddl driver.DDL, names []driver.TableName, n int) {
	t.Helper()
	found, err := ddl.ExistingTables(t.Context(), db, names)
	require.NoError(t, err)
	require.Len(t, found, n)
}
