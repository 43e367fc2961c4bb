package pgx_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

func ddl(t *testing.T) driver.DDL {
	t.Helper()
	d, ok := pgxDriver(t).(driver.DDL)
	require.True(t, ok)
	return d
}

// change runs fn between BeginDDL and finish, on a connection of its own.
func change(t *testing.T, ctx context.Context, db *bun.DB, wait time.Duration, fn func(bun.IDB) error) error { //nolint:revive // The test comes first.
	t.Helper()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tx, finish, err := ddl(t).BeginDDL(ctx, c, wait)
	if err != nil {
		return err
	}
	err = fn(tx)
	return errors.Join(err, finish(err))
}

func TestTypeNames(t *testing.T) {
	t.Parallel()
	n, ok := pgxDriver(t).(driver.TypeNamer)
	require.True(t, ok)
	for kind, want := range map[string]string{
		"text": "text", "largebinary": "bytea", "datetime": "timestamptz", "json": "jsonb", "uuid": "uuid",
	} {
		require.Equal(t, want, n.TypeName(kind))
	}
}

// Many who make the same table at once all succeed, whatever isolation level
// their sessions begin with.
func TestDDLAtOnce(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"read committed", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			s := dbtest.Postgres(t)
			admin := open(t, s.URL(), "")
			exec(t, admin, "ALTER DATABASE "+s.Database+" SET default_transaction_isolation = '"+level+"'")
			db := open(t, s.URL(), "")
			errs := make([]error, 10)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					errs[i] = change(t, t.Context(), db, 10*time.Second, func(tx bun.IDB) error {
						found, err := ddl(t).ExistingTables(t.Context(), tx, []driver.TableName{{Name: "made"}})
						if err != nil || len(found) > 0 {
							return err
						}
						time.Sleep(200 * time.Millisecond) // So that the others come.
						_, err = tx.ExecContext(t.Context(), "CREATE TABLE made (id bigint)")
						return err
					})
				})
			}
			wg.Wait()
			require.NoError(t, errors.Join(errs...))
			exec(t, db, "INSERT INTO made VALUES (1)")
		})
	}
}

func TestDDLWaits(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	err := change(t, t.Context(), db, 0, func(bun.IDB) error {
		start := time.Now()
		err := change(t, t.Context(), db, 100*time.Millisecond, func(bun.IDB) error { return nil })
		require.Equal(t, driver.Serialization, pgxDriver(t).Classify(err), err)
		require.ErrorContains(t, err, "another process that changes the schema")

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err = change(t, ctx, db, 0, func(bun.IDB) error { return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 2*time.Second)
		return nil
	})
	require.NoError(t, err)
	require.Zero(t, db.Stats().InUse)
}

func TestDDLFinish(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	db.SetMaxOpenConns(1)
	made := func() bool {
		found, err := ddl(t).ExistingTables(t.Context(), db, []driver.TableName{{Name: "made"}})
		require.NoError(t, err)
		return len(found) == 1
	}
	pid := backend(t.Context(), t, db)
	create := func(tx bun.IDB) error {
		_, err := tx.ExecContext(t.Context(), "CREATE TABLE made (id bigint)")
		return err
	}
	failure := errors.New("failure")
	err := change(t, t.Context(), db, time.Second, func(tx bun.IDB) error { return errors.Join(create(tx), failure) })
	require.ErrorIs(t, err, failure)
	require.False(t, made())

	ctx, cancel := context.WithCancel(t.Context())
	err = change(t, ctx, db, time.Second, func(tx bun.IDB) error {
		defer cancel()
		return create(tx)
	})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, made())

	require.NoError(t, change(t, t.Context(), db, time.Second, create))
	require.True(t, made())
	require.Equal(t, pid, backend(t.Context(), t, db))
	var timeout string
	require.NoError(t, db.NewRaw("SHOW lock_timeout").Scan(t.Context(), &timeout))
	require.Equal(t, "0", timeout, "the connection is as it was")
}

func TestExistingTables(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE SCHEMA shop", `CREATE TABLE shop.a (id bigint)`, `CREATE TABLE b (id bigint)`,
		`CREATE TABLE "B" (id bigint)`, `CREATE VIEW v AS SELECT 1`, `CREATE TABLE shop.b (id bigint)`,
		`CREATE SEQUENCE s`, `CREATE TABLE p (id bigint) PARTITION BY RANGE (id)`)
	tables := []driver.TableName{
		{Name: "a"},
		{Schema: "shop", Name: "a"},
		{Name: "b"},
		{Schema: "shop", Name: "B"},
		{Name: "B"},
		{Name: "v"},
		{Name: "s"},
		{Name: "p"},
		{Schema: "public", Name: "b"},
		{Schema: "shop", Name: "b"},
		{Name: "pg_class"},
		{Schema: "none", Name: "b"},
	}
	found, err := ddl(t).ExistingTables(t.Context(), db, tables)
	require.NoError(t, err)
	require.Equal(t, []driver.TableName{
		{Schema: "shop", Name: "a"},
		{Name: "b"},
		{Name: "B"},
		{Name: "v"},
		{Name: "p"},
		{Schema: "public", Name: "b"},
		{Schema: "shop", Name: "b"},
	}, found)
	found, err = ddl(t).ExistingTables(t.Context(), db, nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestExistingIndexes(t *testing.T) {
	t.Parallel()
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE SCHEMA shop", "CREATE TABLE shop.a (id bigint, n bigint)", "CREATE INDEX far ON shop.a (n)",
		"CREATE TABLE a (id bigint PRIMARY KEY, n bigint UNIQUE)", "CREATE INDEX near ON a (n)")
	for table, want := range map[driver.TableName][]string{
		{Name: "a"}:                   {"a_n_key", "a_pkey", "near"},
		{Schema: "public", Name: "a"}: {"a_n_key", "a_pkey", "near"},
		{Schema: "shop", Name: "a"}:   {"far"},
		{Name: "b"}:                   nil,
	} {
		names, err := ddl(t).ExistingIndexes(t.Context(), db, table)
		require.NoError(t, err)
		require.ElementsMatch(t, want, names, table)
	}
}

func TestDropTables(t *testing.T) {
	t.Parallel()
	require.True(t, ddl(t).LateForeignKeys())
	db := open(t, dbtest.Postgres(t).URL(), "")
	exec(t, db, "CREATE SCHEMA shop", "CREATE TABLE a (id bigint PRIMARY KEY, b bigint)",
		"CREATE TABLE shop.b (id bigint PRIMARY KEY, a bigint REFERENCES a)",
		"ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES shop.b", `CREATE TABLE "odd""name" (a bigint REFERENCES a)`)
	cycle := []driver.TableName{{Name: "a"}, {Schema: "shop", Name: "b"}}
	require.Error(t, ddl(t).DropTables(t.Context(), db, cycle), "a table outside the list refers to one inside")
	found, err := ddl(t).ExistingTables(t.Context(), db, cycle)
	require.NoError(t, err)
	require.Equal(t, cycle, found, "and nothing is dropped")
	all := append([]driver.TableName{{Name: `odd"name`}}, cycle...)
	require.NoError(t, ddl(t).DropTables(t.Context(), db, all))
	found, err = ddl(t).ExistingTables(t.Context(), db, all)
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoError(t, ddl(t).DropTables(t.Context(), db, nil))
}
