package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// sentinels are all kinds of failure.
var sentinels = []error{
	echobun.ErrUnique, echobun.ErrForeignKey, echobun.ErrNotNull, echobun.ErrCheck, echobun.ErrSerialization,
	echobun.ErrOutcomeUnknown, echobun.ErrUnavailable, echobun.ErrReadOnly, echobun.ErrPoolTimeout,
}

// requireKind requires that err is of exactly that kind, names the bind "auth"
// and what failed, and unwraps to the driver's own error if driverErr is true.
func requireKind(t *testing.T, err, want error, op string, driverErr bool) {
	t.Helper()
	require.Error(t, err)
	for _, sentinel := range sentinels {
		require.Equal(t, errors.Is(want, sentinel), errors.Is(err, sentinel), "%v: %v", sentinel, err)
	}
	var bindErr *echobun.BindError
	require.ErrorAs(t, err, &bindErr)
	require.Equal(t, "auth", bindErr.Bind)
	require.Equal(t, op, bindErr.Op)
	require.ErrorContains(t, err, fmt.Sprintf(`bind "auth": %s: `, op))
	require.False(t, errors.As(bindErr.Err, new(*echobun.BindError)), "wrapped once: %v", err)
	if driverErr {
		var pg *pgconn.PgError
		var my *gomysql.MySQLError
		var lite *modernc.Error
		require.True(t, errors.As(err, &pg) || errors.As(err, &my) || errors.As(err, &lite), "%T: %v", errors.Unwrap(err), err)
	}
}

// onEachAuth runs a test on the bind "auth" of each database.
func onEachAuth(t *testing.T, opts echobun.EngineOptions, run func(t *testing.T, name string, x *echobun.Extension)) {
	t.Helper()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := opts
			opts.URL = url(t)
			run(t, name, newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": opts}}))
		})
	}
}

// constraintTables make each violation possible.
var constraintTables = []string{
	"CREATE TABLE parents (id INTEGER NOT NULL PRIMARY KEY)",
	`CREATE TABLE children (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE,
		parent_id INTEGER, age INTEGER, CONSTRAINT adult CHECK (age >= 18), FOREIGN KEY (parent_id) REFERENCES parents (id))`,
	"INSERT INTO parents VALUES (1)",
	"INSERT INTO children VALUES (1, 'one', 1, 18)",
}

func TestConstraintErrors(t *testing.T) {
	t.Parallel()
	violations := []struct {
		name, op, statement string
		want                error
	}{
		{"PrimaryKey", "INSERT", "INSERT INTO children VALUES (1, 'two', 1, 18)", echobun.ErrUnique},
		{"Unique", "INSERT", "INSERT INTO children VALUES (2, 'one', 1, 18)", echobun.ErrUnique},
		{"UniqueUpdate", "UPDATE", "UPDATE children SET name = 'two'", nil},
		{"ForeignKey", "INSERT", "INSERT INTO children VALUES (2, 'three', 9, 18)", echobun.ErrForeignKey},
		{"ForeignKeyOfParent", "DELETE", "DELETE FROM parents", echobun.ErrForeignKey},
		{"NotNull", "INSERT", "INSERT INTO children VALUES (2, NULL, 1, 18)", echobun.ErrNotNull},
		{"Check", "UPDATE", "UPDATE children SET age = 17", echobun.ErrCheck},
	}
	onEachAuth(t, echobun.EngineOptions{}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		cat := catalogueOf(t, x.Engines(), "auth")
		for _, statement := range constraintTables {
			cat.exec(statement)
		}
		ctx, s := newSession(t, x)
		for _, tt := range violations {
			for way, run := range statementWays(ctx, s, x) {
				if err := run(tt.statement); tt.want != nil {
					requireKind(t, err, tt.want, tt.op, true)
				} else {
					require.NoError(t, err, "%s %s", tt.name, way)
				}
			}
		}
		require.Equal(t, 1, cat.count("children"))
	})
}

// statementWays are the ways in which a statement can get to the bind "auth".
func statementWays(ctx context.Context, s *echobun.Session, x *echobun.Extension) map[string]func(statement string) error {
	idb, db := s.Bind("auth"), x.Engines()["auth"]
	inTx := func(begin func() (bun.Tx, error)) func(string) error {
		return func(statement string) error {
			tx, err := begin()
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, statement)
			return err
		}
	}
	return map[string]func(string) error{
		"Raw":       func(statement string) error { _, err := idb.NewRaw(statement).Exec(ctx); return err },
		"Exec":      func(statement string) error { _, err := idb.ExecContext(ctx, statement); return err },
		"Engine":    func(statement string) error { _, err := db.ExecContext(ctx, statement); return err },
		"SQL":       func(statement string) error { _, err := db.DB.ExecContext(ctx, statement); return err },
		"Tx":        inTx(func() (bun.Tx, error) { return idb.BeginTx(ctx, nil) }),
		"EngineTx":  inTx(func() (bun.Tx, error) { return db.BeginTx(ctx, nil) }),
		"RunInTx":   func(statement string) error { return idb.RunInTx(ctx, nil, execInTx(statement)) },
		"EngineRun": func(statement string) error { return db.RunInTx(ctx, nil, execInTx(statement)) },
	}
}

func execInTx(statement string) func(context.Context, bun.Tx) error {
	return func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	}
}

// Queries and builders have the same kinds as statements.
func TestErrorsOfBuilders(t *testing.T) {
	t.Parallel()
	type User struct {
		authModel
		ID   int64  `bun:",pk,autoincrement"`
		Name string `bun:",notnull,unique"`
	}
	onEachAuth(t, echobun.EngineOptions{}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.Register((*User)(nil)))
		require.NoError(t, x.CreateAll(ctx))
		users := []User{{Name: "one"}, {Name: "two"}}
		_, err := s.NewInsert().Model(&users).Exec(ctx)
		require.NoError(t, err)
		_, err = s.NewInsert().Model(&User{Name: "one"}).Exec(ctx)
		requireKind(t, err, echobun.ErrUnique, "INSERT", true)
		_, err = s.NewUpdate().Model(&User{ID: users[0].ID, Name: "two"}).WherePK().Exec(ctx)
		requireKind(t, err, echobun.ErrUnique, "UPDATE", true)

		err = s.NewSelect().Model(new(User)).Where("no_such_column = 1").Scan(ctx)
		requireKind(t, err, nil, "SELECT", true)
		_, err = s.NewSelect().Model((*User)(nil)).Where("no_such_column = 1").Count(ctx)
		requireKind(t, err, nil, "SELECT", true)
		_, err = s.NewCreateIndex().Model((*User)(nil)).Index("i").Column("name").Exec(ctx)
		require.NoError(t, err)
		_, err = s.NewCreateIndex().Model((*User)(nil)).Index("i").Column("name").Exec(ctx)
		requireKind(t, err, nil, "CREATE INDEX", true)
		err = s.Bind("auth").QueryRowContext(ctx, "SELECT nothing FROM nowhere").Scan(new(int))
		requireKind(t, err, nil, "SELECT", true)
	})
}

// What database/sql says itself stays as it is.
func TestErrNoRows(t *testing.T) {
	t.Parallel()
	type User struct {
		authModel
		ID int64 `bun:",pk"`
	}
	onEachAuth(t, echobun.EngineOptions{}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		require.NoError(t, x.Register((*User)(nil)))
		require.NoError(t, x.CreateAll(ctx))
		require.Equal(t, sql.ErrNoRows, s.NewSelect().Model(&User{ID: 1}).WherePK().Scan(ctx))
		require.Equal(t, sql.ErrNoRows, s.Bind("auth").QueryRowContext(ctx, "SELECT 1 WHERE 1 = 0").Scan(new(int)))
	})
}

func TestLostReply(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(testing.TB) *dbtest.Server{"PostgreSQL": dbtest.Postgres, "MariaDB": dbtest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := server(t)
			proxy := cutproxy.New(t, db.Addr())
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{
				"auth": {URL: db.URLVia(proxy.Addr())}, "direct": {URL: db.URL()},
			}})
			cat := catalogueOf(t, x.Engines(), "direct")
			cat.exec("CREATE TABLE entries (id INTEGER)")
			ctx, s := newSession(t, x)
			ways := statementWays(ctx, s, x)
			for i, way := range []string{"Raw", "Exec", "Engine", "SQL"} {
				proxy.Arm(cutproxy.DropReply, "insert into")
				err := ways[way]("INSERT INTO entries VALUES (1)")
				requireKind(t, err, errors.Join(echobun.ErrOutcomeUnknown, echobun.ErrUnavailable), "INSERT", false)
				require.Equal(t, i+1, proxy.Cuts(), way)
				require.Equal(t, i+1, cat.count("entries"), "%s: sent once", way)
			}
			require.NoError(t, ways["Raw"]("INSERT INTO entries VALUES (1)"), "the next one has a new connection")

			proxy.Arm(cutproxy.DropReply, "commit")
			err := s.Bind("auth").RunInTx(ctx, nil, execInTx("INSERT INTO entries VALUES (2)"))
			if name == "PostgreSQL" {
				require.NoError(t, err, "the server says that it was done")
			} else {
				requireKind(t, err, errors.Join(echobun.ErrOutcomeUnknown, echobun.ErrUnavailable), "COMMIT", false)
			}
			require.Equal(t, 6, cat.count("entries"))
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	for scheme, ops := range map[string]string{"postgresql": "connect", "mysql": "connect"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: scheme + "://u:secret@" + refusedAddr(t) + "/db"}}})
			ctx, s := newSession(t, x)
			for way, run := range statementWays(ctx, s, x) {
				err := run("SELECT 1")
				requireKind(t, err, echobun.ErrUnavailable, ops, false)
				require.NotContains(t, err.Error(), "secret", way)
			}
			requireKind(t, s.Bind("auth").QueryRowContext(ctx, "SELECT 1").Scan(new(int)), echobun.ErrUnavailable, ops, false)
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: "sqlite:///" + t.TempDir() + "/no/such/folder/x.db"}}})
		ctx, s := newSession(t, x)
		for _, run := range statementWays(ctx, s, x) {
			requireKind(t, run("SELECT 1"), echobun.ErrUnavailable, "connect", true)
		}
	})
}

// A server that takes connections and never answers is as good as none.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgresql", "mysql"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {
				URL: scheme + "://u:secret@" + silentAddr(t) + "/db", ConnectTimeout: 300 * time.Millisecond,
			}}})
			ctx, s := newSession(t, x)
			start := time.Now()
			_, err := s.Bind("auth").ExecContext(ctx, "SELECT 1")
			requireKind(t, err, echobun.ErrUnavailable, "connect", false)
			require.Less(t, time.Since(start), 5*time.Second)

			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = s.Bind("auth").ExecContext(short, "SELECT 1")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

func TestReadOnlyErrors(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		catalogueOf(t, x.Engines(), "auth").exec("CREATE TABLE entries (id INTEGER)")
		ctx, s := newSession(t, x)
		err := s.Bind("auth").RunInTx(ctx, &sql.TxOptions{ReadOnly: true}, execInTx("INSERT INTO entries VALUES (1)"))
		requireKind(t, err, echobun.ErrReadOnly, "INSERT", true)
	})
}

// Two transactions that wait for each other: one of them is the victim.
func TestDeadlocks(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{}, func(t *testing.T, name string, x *echobun.Extension) {
		t.Helper()
		if name == "SQLite" {
			return // Its writers wait in a queue: TestWriterLimit.
		}
		cat := catalogueOf(t, x.Engines(), "auth")
		cat.exec("CREATE TABLE entries (id INTEGER PRIMARY KEY, n INTEGER)")
		cat.exec("INSERT INTO entries VALUES (1, 0), (2, 0)")
		ctx, s := newSession(t, x)

		both := make(chan struct{}, 2)
		run := func(first, second int) error {
			return s.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.ExecContext(ctx, "UPDATE entries SET n = n + 1 WHERE id = ?", first); err != nil {
					return err
				}
				both <- struct{}{}
				for len(both) < 2 {
					time.Sleep(time.Millisecond)
				}
				_, err := tx.ExecContext(ctx, "UPDATE entries SET n = n + 1 WHERE id = ?", second)
				return err
			})
		}
		other := make(chan error)
		go func() { other <- run(2, 1) }()
		err := run(1, 2)
		if otherErr := <-other; err == nil {
			err = otherErr
		} else {
			require.NoError(t, otherErr, "one of them goes on")
		}
		requireKind(t, err, echobun.ErrSerialization, "UPDATE", true)
	})
}

func TestWriterLimit(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t) + "?busy_timeout=100"}}})
	catalogueOf(t, x.Engines(), "auth").exec("CREATE TABLE entries (id INTEGER)")
	ctx, s := newSession(t, x)
	err := s.Bind("auth").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO entries VALUES (1)")
		require.NoError(t, err)
		_, err = s.Bind("auth").ExecContext(ctx, "INSERT INTO entries VALUES (2)")
		return err
	})
	requireKind(t, err, echobun.ErrSerialization, "INSERT", false)
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&echobun.BindError{Op: "SELECT", Err: errFakeStatement}, "echobun: default bind: SELECT: fakedb: statement says no"},
		{&echobun.BindError{Bind: "a\n", Op: "SELECT", Err: errFakeStatement}, `echobun: bind "a\n": SELECT: fakedb: statement says no`},
		{&echobun.ConfigError{Bind: "a", Field: "URL", Err: errFakeStatement}, `echobun: config of bind "a": URL: fakedb: statement says no`},
		{&echobun.ModelError{Model: "T", Bind: "a", Err: errFakeStatement}, `echobun: model T on bind "a": fakedb: statement says no`},
		{&echobun.UnknownBindError{Key: "a", Known: []string{"", "b"}}, `echobun: no engine for bind "a": add it to Config.Binds (known: default bind, bind "b")`},
		{
			&echobun.UnknownBindError{Key: "z", Known: strings.Split(strings.Repeat("b", 10_000), "")},
			`echobun: no engine for bind "z": add it to Config.Binds (known: ` + strings.Repeat(`bind "b", `, 10) + `and 9990 more)`,
		},
		{
			&echobun.UnknownBindError{Key: "mysql://u:secret@h/d"},
			`echobun: no engine for bind "***": add it to Config.Binds (known: )`,
		},
		{
			&echobun.UnknownBindError{Known: []string{"b"}},
			`echobun: no engine for the default bind: set Config.DatabaseURI, or give the model a BindKey (known: bind "b")`,
		},
	} {
		require.EqualError(t, tt.err, tt.want)
		if inner := errors.Unwrap(tt.err); inner != nil {
			require.Same(t, errFakeStatement, inner)
		}
	}
}

// The operation of an error is what the statement begins with.
func TestOperations(t *testing.T) {
	t.Parallel()
	x, _ := fakeExtension(t, "full", echobun.EngineOptions{})
	ctx, s := newSession(t, x)
	for statement, want := range map[string]string{
		"select 1 FAIL": "SELECT",
		"  -- note\n\t/* more */ (SELECT 1) FAIL": "SELECT",
		"create table t (id int) FAIL":            "CREATE TABLE",
		"DROP FAIL":                               "DROP FAIL",
		"COMMIT; FAIL":                            "COMMIT FAIL",
		"COMMIT -- FAIL":                          "COMMIT",
		"/* FAIL */":                              "statement",
		"/* unfinished FAIL":                      "statement",
		"-- FAIL":                                 "statement",
		"$$ FAIL":                                 "statement",
	} {
		_, err := s.Bind("").ExecContext(ctx, statement)
		var bind *echobun.BindError
		require.ErrorAs(t, err, &bind, statement)
		require.Equal(t, want, bind.Op, statement)
	}
}
