package mysql_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/dbtest"
)

// ddl returns the driver's side for changes of tables.
func ddl(tb testing.TB) driver.DDL {
	tb.Helper()
	d, ok := ours(tb).(driver.DDL)
	require.True(tb, ok)
	return d
}

func names(tables ...string) []driver.TableName {
	var list []driver.TableName
	for _, name := range tables {
		schema, table, found := strings.Cut(name, ".")
		if !found {
			schema, table = "", name
		}
		list = append(list, driver.TableName{Schema: schema, Name: table})
	}
	return list
}

func TestTypeNames(t *testing.T) {
	t.Parallel()
	namer, ok := ours(t).(driver.TypeNamer)
	require.True(t, ok)
	db := fresh(t)
	for kind, want := range map[string]string{
		"text": "longtext", "largebinary": "longblob", "datetime": "datetime(6)", "json": "json", "uuid": "char(36)",
	} {
		require.Equal(t, want, namer.TypeName(kind))
		run(t, db, "CREATE TABLE "+kind+"_t (c "+want+")")
	}
}

func TestBeginDDL(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	c := pinned(t, db)
	before := value[int](t, c, "SELECT @@SESSION.lock_wait_timeout")
	idb, finish, err := ddl(t).BeginDDL(t.Context(), c, 2*time.Second)
	require.NoError(t, err)
	require.Equal(t, 2, value[int](t, idb, "SELECT @@SESSION.lock_wait_timeout"))
	lock := mysql.LockName(value[string](t, idb, "SELECT DATABASE()"))
	require.Equal(t, 0, value[int](t, db, "SELECT IS_FREE_LOCK(?)", lock))

	cause := errors.New("cause")
	require.Equal(t, cause, finish(cause))
	require.Equal(t, before, value[int](t, c, "SELECT @@SESSION.lock_wait_timeout"))
	require.Equal(t, 1, value[int](t, db, "SELECT IS_FREE_LOCK(?)", lock))
	require.NoError(t, finish(nil), "a second time does nothing")
}

// The lock is awaited for as long as wait says, and no longer than ctx lives.
func TestBeginDDLWaits(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	_, finish, err := ddl(t).BeginDDL(t.Context(), pinned(t, db), time.Second)
	require.NoError(t, err)

	begun := time.Now()
	c := pinned(t, db)
	_, _, err = ddl(t).BeginDDL(t.Context(), c, 600*time.Millisecond)
	require.Equal(t, driver.Serialization, ours(t).Classify(err))
	require.ErrorContains(t, err, "mysql: the lock \"echobun:")
	require.InDelta(t, time.Second, time.Since(begun), float64(400*time.Millisecond))
	require.NotEqual(t, 1, value[int](t, c, "SELECT @@SESSION.lock_wait_timeout"))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun = time.Now()
	_, _, err = ddl(t).BeginDDL(ctx, pinned(t, db), time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), time.Second)
	require.NoError(t, finish(nil))
	_, finish, err = ddl(t).BeginDDL(t.Context(), pinned(t, db), time.Second)
	require.NoError(t, err)
	require.NoError(t, finish(nil))
}

// A table that is in use is not waited for any longer either.
func TestDDLLockWait(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
	tx := begin(t, db)
	require.Equal(t, 1, value[int](t, tx, "SELECT id FROM t"))
	idb, finish, err := ddl(t).BeginDDL(t.Context(), pinned(t, db), time.Second)
	require.NoError(t, err)
	begun := time.Now()
	_, err = idb.ExecContext(t.Context(), "ALTER TABLE t ADD n int")
	require.NotZero(t, ours(t).Classify(finish(err))&driver.Serialization, "%v", err)
	require.Less(t, time.Since(begun), 3*time.Second)
}

// A connection that cannot be given back as it was is closed.
func TestBeginDDLBroken(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	c := pinned(t, db)
	idb, finish, err := ddl(t).BeginDDL(t.Context(), c, time.Second)
	require.NoError(t, err)
	lock := mysql.LockName(value[string](t, idb, "SELECT DATABASE()"))
	_, _ = idb.ExecContext(t.Context(), "KILL CONNECTION_ID()")
	require.NoError(t, finish(nil))
	require.Zero(t, db.Stats().InUse)
	require.Eventually(t, func() bool { return value[int](t, db, "SELECT IS_FREE_LOCK(?)", lock) == 1 },
		time.Second, 10*time.Millisecond)
}

func TestDDLWithoutDatabase(t *testing.T) {
	t.Parallel()
	u := parse(t, dbtest.MariaDB(t).URL())
	u.Database = ""
	_, _, err := ddl(t).BeginDDL(t.Context(), pinned(t, open(t, u, driver.Options{})), time.Second)
	require.ErrorContains(t, err, "no database is selected")
}

func TestLockName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "echobun:app", mysql.LockName("app"))
	long := strings.Repeat("x", 64)
	require.LessOrEqual(t, len(mysql.LockName(long)), 64)
	require.NotEqual(t, mysql.LockName(long), mysql.LockName(long[1:]+"y"))
}

// Ten processes that make the same tables at once all succeed.
func TestDDLAtOnce(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	var wg sync.WaitGroup
	errs := make(chan error, 10)
	for range 10 {
		c := pinned(t, db)
		wg.Go(func() {
			idb, finish, err := ddl(t).BeginDDL(t.Context(), c, 10*time.Second)
			if err != nil {
				errs <- err
				return
			}
			there, err := ddl(t).ExistingTables(t.Context(), idb, names("a"))
			if err == nil && len(there) == 0 {
				_, err = idb.ExecContext(t.Context(), "CREATE TABLE a (id int)")
			}
			errs <- finish(err)
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestExisting(t *testing.T) {
	t.Parallel()
	for _, lower := range []int{0, 1} {
		t.Run(strconv.Itoa(lower), func(t *testing.T) {
			t.Parallel()
			server := dbtest.MariaDB(t)
			if lower == 1 {
				server = dbtest.StartMariaDB(t, "--lower-case-table-names=1")
			}
			db := open(t, parse(t, server.URL()), driver.Options{})
			run(t, db, "CREATE DATABASE other_"+server.Database)
			t.Cleanup(func() { run(t, db, "DROP DATABASE other_"+server.Database) })
			run(t, db, "CREATE TABLE a (id int PRIMARY KEY, n int, INDEX ix_n (n))", "CREATE TABLE Mixed (id int)",
				"CREATE TABLE other_"+server.Database+".b (id int)")
			want := names("Mixed", "a", "other_"+server.Database+".b", server.Database+".a")
			if lower == 1 {
				want = append(want, names("A", "mixed")...)
			}
			all := append(names("Mixed", "a", "b", "c", "A", "mixed"), names("other_"+server.Database+".b",
				"other_"+server.Database+".a", server.Database+".a")...)
			there, err := ddl(t).ExistingTables(t.Context(), db, all)
			require.NoError(t, err)
			require.ElementsMatch(t, want, there)

			indexes, err := ddl(t).ExistingIndexes(t.Context(), db, driver.TableName{Name: "a"})
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"PRIMARY", "ix_n"}, indexes)
			indexes, err = ddl(t).ExistingIndexes(t.Context(), db, names("other_" + server.Database + ".b")[0])
			require.NoError(t, err)
			require.Empty(t, indexes)
		})
	}
	there, err := ddl(t).ExistingTables(t.Context(), nil, nil)
	require.NoError(t, err)
	require.Empty(t, there)
}

// cycle makes a, b and c, each with a foreign key to the next, and d to itself.
func cycle(tb testing.TB, db bun.IConn) {
	tb.Helper()
	for _, name := range []string{"a", "b", "c", "d"} {
		run(tb, db, "CREATE TABLE "+name+" (id int PRIMARY KEY, next int)")
	}
	for i, name := range []string{"a", "b", "c", "d"} {
		run(tb, db, "ALTER TABLE "+name+" ADD CONSTRAINT fk_"+name+" FOREIGN KEY (next) REFERENCES "+
			[]string{"b", "c", "a", "d"}[i]+" (id)")
	}
}

func TestDropTables(t *testing.T) {
	t.Parallel()
	require.True(t, ddl(t).LateForeignKeys())
	tests := []struct {
		name, drop string
		class      driver.Class
		text       string
		left       []string
	}{
		{"all", "a b c d", 0, "", nil},
		{"other order", "d c b a", 0, "", nil},
		{"self", "d", 0, "", []string{"a", "b", "c"}},
		{"part of the cycle", "a b", driver.ForeignKey, `mysql: table "c" has the foreign key "fk_c" to "a"`, []string{"a", "b", "c", "d"}},
		{"missing", "d x", 0, "Unknown table", []string{"a", "b", "c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := fresh(t)
			cycle(t, db)
			err := ddl(t).DropTables(t.Context(), db, names(strings.Fields(tt.drop)...))
			if tt.text == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, tt.class, ours(t).Classify(err))
			}
			there, err := ddl(t).ExistingTables(t.Context(), db, names("a", "b", "c", "d"))
			require.NoError(t, err)
			require.ElementsMatch(t, names(tt.left...), there)
			if len(tt.left) == 4 {
				require.Equal(t, 4, value[int](t, db, "SELECT count(*) FROM information_schema.REFERENTIAL_CONSTRAINTS "+
					"WHERE CONSTRAINT_SCHEMA = DATABASE()"), "no constraint is lost")
			}
			require.Equal(t, 1, value[int](t, db, "SELECT @@foreign_key_checks"))
		})
	}
	require.NoError(t, ddl(t).DropTables(t.Context(), nil, nil))
}

// A reference from another database is the server's to find.
func TestDropTablesAcrossDatabases(t *testing.T) {
	t.Parallel()
	db, other := fresh(t), fresh(t)
	run(t, db, "CREATE TABLE p (id int PRIMARY KEY)")
	database := value[string](t, db, "SELECT DATABASE()")
	run(t, other, "CREATE TABLE k (id int, FOREIGN KEY (id) REFERENCES "+database+".p (id))")
	err := ddl(t).DropTables(t.Context(), db, names("p"))
	require.Equal(t, driver.ForeignKey, ours(t).Classify(err), "%v", err)

	both := names(value[string](t, other, "SELECT DATABASE()")+".k", database+".p")
	require.NoError(t, ddl(t).DropTables(t.Context(), db, both))
}
