package echobun_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// refusedAddr returns an address where nobody listens.
func refusedAddr(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer ln.Close()
	return ln.Addr().String()
}

func TestCreateAllWithBindsDown(t *testing.T) {
	t.Parallel()
	type Post struct{ ID int64 }
	type User struct {
		authModel
		ID int64
	}
	type Hit struct {
		metaModel
		ID int64
	}
	x := newExtension(t, echobun.Config{
		DatabaseURI: "postgresql://u:secret@" + refusedAddr(t) + "/db",
		Binds: echobun.Binds{
			"auth": {URL: "mysql://u:secret@" + refusedAddr(t) + "/db"},
			"meta": {URL: sqliteURL(t)},
		},
	}, (*Post)(nil), (*User)(nil), (*Hit)(nil))
	ctx, _ := newSession(t, x)

	for _, do := range []func(context.Context, ...string) error{x.CreateAll, x.DropAll, x.CreateAll} {
		err := do(ctx)
		require.ErrorIs(t, err, echobun.ErrUnavailable)
		require.NotContains(t, err.Error(), "secret")

		joined, ok := err.(interface{ Unwrap() []error })
		require.True(t, ok)
		require.Len(t, joined.Unwrap(), 2)
		for i, key := range []string{"", "auth"} {
			var bind *echobun.BindError
			require.ErrorAs(t, joined.Unwrap()[i], &bind)
			require.Equal(t, key, bind.Bind)
			require.ErrorIs(t, joined.Unwrap()[i], echobun.ErrUnavailable)
		}
	}
	require.Equal(t, []string{"hits"}, catalogueOf(t, x.Engines(), "meta").tables())
}

// schemaHook is a model whose hook runs a function of the context.
type schemaHook struct {
	bun.BaseModel `bun:"table:hooked"`
	ID            int64 `bun:",pk"`
}

type schemaHookKey struct{}

var _ bun.AfterCreateTableHook = (*schemaHook)(nil)

func (*schemaHook) AfterCreateTable(ctx context.Context, _ *bun.CreateTableQuery) error {
	if hook, ok := ctx.Value(schemaHookKey{}).(func() error); ok {
		return hook()
	}
	return nil
}

// What a failing CreateAll has made by then is gone where DDL is transactional,
// and the pool is as it was.
func TestCreateAllFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	type Before struct{ ID int64 }
	type Zulu struct{ ID int64 }
	models := []any{(*Before)(nil), (*schemaHook)(nil), (*Zulu)(nil)}
	for _, tt := range []struct {
		name string
		hook func(cancel context.CancelFunc) func() error
		run  func(t *testing.T, create func() error)
	}{
		{
			"Error",
			func(context.CancelFunc) func() error { return func() error { return errSchemaHook } },
			func(t *testing.T, create func() error) {
				t.Helper()
				err := create()
				require.ErrorIs(t, err, errSchemaHook)
				require.ErrorContains(t, err, `default bind: CREATE TABLE "hooked": `)
			},
		},
		{
			"Panic",
			func(context.CancelFunc) func() error { return func() error { panic(errSchemaHook) } },
			func(t *testing.T, create func() error) {
				t.Helper()
				require.PanicsWithValue(t, errSchemaHook, func() { _ = create() })
			},
		},
		{
			"Goexit",
			func(context.CancelFunc) func() error { return func() error { runtime.Goexit(); return nil } },
			func(t *testing.T, create func() error) {
				t.Helper()
				require.ErrorContains(t, create(), "default bind: schema: a hook called runtime.Goexit")
			},
		},
		{
			"Cancel",
			func(cancel context.CancelFunc) func() error { return func() error { cancel(); return nil } },
			func(t *testing.T, create func() error) {
				t.Helper()
				require.ErrorIs(t, create(), context.Canceled)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perDatabase(t, models, func(t *testing.T, x *echobun.Extension) {
				t.Helper()
				ctx, _ := newSession(t, x)
				failing, cancel := context.WithCancel(ctx)
				defer cancel()
				failing = context.WithValue(failing, schemaHookKey{}, tt.hook(cancel))
				tt.run(t, func() error { return x.CreateAll(failing) })

				cat := catalogueOf(t, x.Engines(), "")
				if cat.dialect() != dialect.MySQL {
					require.Empty(t, cat.tables())
				}
				require.Zero(t, x.Engine().Stats().InUse)
				require.NoError(t, x.CreateAll(ctx), "the next one finds no lock of the last")
				require.Equal(t, []string{"befores", "hooked", "zulus"}, cat.tables())
				require.NoError(t, x.DropAll(ctx))
			})
		})
	}
}

var errSchemaHook = errors.New("hook says no")

// hold keeps a lock on the table "held" until release is called.
func hold(t *testing.T, cat catalogue) (release func()) {
	t.Helper()
	tx, err := cat.db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	statement := "INSERT INTO held (id) VALUES (1)" // SQLite's writers exclude each other, MariaDB keeps the definition.
	if cat.dialect() == dialect.PG {
		statement = "LOCK TABLE held IN ACCESS SHARE MODE"
	}
	_, err = tx.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback()) }
}

func TestSchemaLocks(t *testing.T) {
	t.Parallel()
	type Held struct {
		bun.BaseModel `bun:"table:held"`
		ID            int64
	}
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := url(t)
			holder := newExtension(t, echobun.Config{DatabaseURI: dsn})
			x := newExtension(t, echobun.Config{DatabaseURI: dsn}, (*Held)(nil))
			ctx, _ := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			release := hold(t, catalogueOf(t, holder.Engines(), ""))

			short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := x.DropAll(short)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "default bind: ")
			require.Less(t, time.Since(start), 3*time.Second, "a wait is bounded by the context")

			cancelled, stop := context.WithCancel(ctx)
			time.AfterFunc(200*time.Millisecond, stop)
			start = time.Now()
			require.ErrorIs(t, x.DropAll(cancelled), context.Canceled)
			require.Less(t, time.Since(start), 3*time.Second, "a wait is bounded by the context")

			start = time.Now()
			err = x.DropAll(ctx)
			require.ErrorIs(t, err, echobun.ErrSerialization)
			require.GreaterOrEqual(t, time.Since(start), 9*time.Second, "without a deadline it waits, but not for ever")
			require.Less(t, time.Since(start), 25*time.Second)

			release()
			require.NoError(t, x.DropAll(ctx))
			require.Zero(t, x.Engine().Stats().InUse)
		})
	}
}

func TestMissingIndexIsLogged(t *testing.T) {
	t.Parallel()
	table := keyed("entries")
	table.Indexes = []echobun.Index{{Columns: []string{"id"}}, {Name: "there", Columns: []string{"id"}, Unique: true}}
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			x := newExtension(t, echobun.Config{DatabaseURI: url(t), Logger: slog.New(slog.NewTextHandler(&log, nil))}, table)
			cat := catalogueOf(t, x.Engines(), "")
			cat.exec("CREATE TABLE entries (id BIGINT PRIMARY KEY)")
			cat.exec("CREATE UNIQUE INDEX there ON entries (id)")
			before := cat.indexes("entries")

			ctx, _ := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			require.Equal(t, before, cat.indexes("entries"), "an existing table gets no index")
			require.Contains(t, log.String(), "level=WARN")
			require.Contains(t, log.String(), "table=entries index=ix_entries_id")
			require.NotContains(t, log.String(), "index=there")
		})
	}
}

// A driver without DDL of its own gets plain statements, in the same order.
func TestSchemaWithoutDDL(t *testing.T) {
	t.Parallel()
	child := keyed("child", "parent")
	child.Indexes = []echobun.Index{{Columns: []string{"parent_id"}, Unique: true}}
	x, calls := fakeExtension(t, "full", echobun.EngineOptions{})
	require.NoError(t, x.Register(child, keyed("parent")))
	ctx, _ := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.Equal(t, []string{
		`exec CREATE TABLE IF NOT EXISTS "parent" ("id" INTEGER NOT NULL, PRIMARY KEY ("id"))`,
		`exec CREATE TABLE IF NOT EXISTS "child" ("id" INTEGER NOT NULL, "parent_id" INTEGER, PRIMARY KEY ("id"), ` +
			`FOREIGN KEY ("parent_id") REFERENCES "parent" ("id"))`,
		`exec CREATE UNIQUE INDEX IF NOT EXISTS "ix_child_parent_id" ON "child" ("parent_id")`,
	}, calls())
	require.NoError(t, x.DropAll(ctx))
	require.Equal(t, []string{"reset ", `exec DROP TABLE IF EXISTS "child"`, `exec DROP TABLE IF EXISTS "parent"`}, calls())
}

// The error of CreateAll and DropAll names the table or index that it is about.
func TestSchemaErrorsNameTheTable(t *testing.T) {
	t.Parallel()
	index := keyed("indexed")
	index.Indexes = []echobun.Index{{Name: "FAIL_index", Columns: []string{"id"}}}
	for _, tt := range []struct {
		name         string
		table        *echobun.Table
		create, drop string
	}{
		{"Table", keyed("FAIL_table"), `CREATE TABLE "FAIL_table"`, `DROP TABLE "FAIL_table"`},
		{"Index", index, `CREATE INDEX "FAIL_index"`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x, _ := fakeExtension(t, "full", echobun.EngineOptions{})
			require.NoError(t, x.Register(tt.table))
			ctx, _ := newSession(t, x)
			err := x.CreateAll(ctx)
			require.ErrorIs(t, err, echobun.ErrCheck)
			require.EqualError(t, err, "echobun: default bind: "+tt.create+": fakedb: statement says no")
			if err = x.DropAll(ctx); tt.drop == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, "echobun: default bind: "+tt.drop+": fakedb: statement says no")
			}
		})
	}
}
