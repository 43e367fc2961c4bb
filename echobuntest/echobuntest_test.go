package echobuntest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/echobuntest"
	"github.com/echobun/echobun/internal/dbtest"
)

type Item struct {
	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

type Order struct {
	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:",notnull,unique"`
}

func (Order) BindKey() string { return "orders" }

// databases are where the two binds of the tests are.
var databases = map[string]func(tb testing.TB) (items, orders string){
	"PostgreSQL and MariaDB": func(tb testing.TB) (string, string) {
		tb.Helper()
		return dbtest.Postgres(tb).URL(), dbtest.MariaDB(tb).URL()
	},
	"SQLite": func(tb testing.TB) (string, string) {
		tb.Helper()
		return "sqlite:///" + filepath.Join(tb.TempDir(), "items.db"), "sqlite://"
	},
}

// onEach runs a test on an extension with tables, on each kind of database.
func onEach(t *testing.T, run func(t *testing.T, x *echobun.Extension)) {
	t.Helper()
	for name, urls := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items, orders := urls(t)
			run(t, open(t, items, orders))
		})
	}
}

func open(t *testing.T, items, orders string) *echobun.Extension {
	t.Helper()
	x, err := echobun.New(echobun.Config{DatabaseURI: items, Binds: echobun.Binds{"orders": {URL: orders}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	require.NoError(t, x.Register((*Item)(nil), (*Order)(nil)))
	ctx, end := x.AppContext(t.Context())
	defer end()
	require.NoError(t, x.CreateAll(ctx))
	return x
}

// inApp calls do with a session in an app context of its own.
func inApp(t *testing.T, x *echobun.Extension, do func(ctx context.Context, s *echobun.Session)) {
	t.Helper()
	ctx, end := x.AppContext(context.WithoutCancel(t.Context()))
	defer end()
	s, err := x.Session(ctx)
	require.NoError(t, err)
	do(ctx, s)
}

func insert(ctx context.Context, s *echobun.Session, name string) error {
	if _, err := s.NewInsert().Model(&Item{Name: name}).Exec(ctx); err != nil {
		return err
	}
	_, err := s.NewInsert().Model(&Order{Name: name}).Exec(ctx)
	return err
}

// requireCount asserts how many rows both tables have.
func requireCount(t *testing.T, x *echobun.Extension, n int) {
	t.Helper()
	inApp(t, x, func(ctx context.Context, s *echobun.Session) {
		for _, model := range []any{(*Item)(nil), (*Order)(nil)} {
			got, err := s.NewSelect().Model(model).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, n, got, "%T", model)
		}
	})
}

func TestIsolate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		inApp(t, x, func(ctx context.Context, s *echobun.Session) { require.NoError(t, insert(ctx, s, "before")) })
		for range 2 {
			t.Run("isolated", func(t *testing.T) {
				echobuntest.Isolate(t, x)
				requireCount(t, x, 1)
				inApp(t, x, func(ctx context.Context, s *echobun.Session) { require.NoError(t, insert(ctx, s, "one")) })
				requireCount(t, x, 2)
				inApp(t, x, func(ctx context.Context, s *echobun.Session) { testTransactions(ctx, t, s) })
				requireCount(t, x, 4)
				testFailures(t, x)
				requireCount(t, x, 4)
				testBeside(t, x)
				requireCount(t, x, 25)
				for key, db := range x.Engines() {
					require.Zero(t, db.Stats().InUse, key)
				}
			})
			requireCount(t, x, 1)
		}
	})
}

// testTransactions adds two rows to each table.
func testTransactions(ctx context.Context, t *testing.T, s *echobun.Session) {
	t.Helper()
	errNo := errors.New("no")
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true}, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insert(ctx, tx, "two"))
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, insert(ctx, tx, "never"))
			require.ErrorIs(t, insert(ctx, tx, "two"), echobun.ErrUnique)
			return errNo
		})
		require.ErrorIs(t, err, errNo)
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insert(ctx, tx, "three") })
	}))
	require.ErrorIs(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, insert(ctx, tx, "never"))
		return errNo
	}), errNo)
	require.ErrorIs(t, s.Bind("orders").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&Order{Name: "never"}).Exec(ctx)
		require.NoError(t, err)
		return errNo
	}), errNo)
}

// testFailures leaves everything as it was.
func testFailures(t *testing.T, x *echobun.Extension) {
	t.Helper()
	inApp(t, x, func(ctx context.Context, s *echobun.Session) {
		require.ErrorIs(t, insert(ctx, s, "one"), echobun.ErrUnique)
		_, err := s.NewRaw("COMMIT").Exec(ctx)
		require.ErrorContains(t, err, "isolated")
		_, err = s.NewRaw("SELECT no FROM such").Exec(ctx)
		require.Error(t, err)
	})
}

// testBeside adds 21 rows to each table, by requests and by the engines.
func testBeside(t *testing.T, x *echobun.Extension) {
	t.Helper()
	e := echo.New()
	e.POST("/:name", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		if err := insert(c.Request().Context(), db, c.Param("name")); err != nil {
			return err
		}
		if c.Param("name") == "refused" {
			return c.NoContent(http.StatusConflict)
		}
		return c.NoContent(http.StatusCreated)
	}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	post := func(name string) int {
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/"+name, nil))
		return rec.Code
	}
	require.Equal(t, http.StatusConflict, post("refused"))
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if code := post("request" + string(rune('a'+i))); code != http.StatusCreated {
				t.Errorf("status %d", code)
			}
		})
	}
	all.Wait()
	for key, model := range map[string]any{"": &Item{Name: "engine"}, "orders": &Order{Name: "engine"}} {
		_, err := x.Engines()[key].NewInsert().Model(model).Exec(t.Context())
		require.NoError(t, err)
	}
}

func TestIsolateApart(t *testing.T) {
	t.Parallel()
	items, orders := dbtest.Postgres(t).URL(), dbtest.MariaDB(t).URL()
	first, second := open(t, items, orders), open(t, items, orders)
	echobuntest.Isolate(t, first)
	echobuntest.Isolate(t, second)
	inApp(t, first, func(ctx context.Context, s *echobun.Session) { require.NoError(t, insert(ctx, s, "mine")) })
	requireCount(t, first, 1)
	requireCount(t, second, 0)
	inApp(t, second, func(ctx context.Context, s *echobun.Session) { require.NoError(t, insert(ctx, s, "yours")) })
	requireCount(t, first, 1)
}

// A fakeTB notes what fails, and ends when it is told to.
type fakeTB struct {
	testing.TB

	fatal, errors string
	cleanup       []func()
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Cleanup(do func()) { f.cleanup = append(f.cleanup, do) }

func (f *fakeTB) Errorf(format string, args ...any) { f.errors += fmt.Sprintf(format, args...) }

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.fatal = fmt.Sprintf(format, args...)
	panic(f)
}

// end does what the end of a test does. It returns the errors.
func (f *fakeTB) end() string {
	for len(f.cleanup) > 0 {
		last := len(f.cleanup) - 1
		do := f.cleanup[last]
		f.cleanup = f.cleanup[:last]
		do()
	}
	return f.errors
}

func TestIsolateRefuses(t *testing.T) {
	t.Parallel()
	x := echobuntest.New(t, echobun.Config{})
	own, err := echobun.New(echobun.Config{EngineOptions: echobun.EngineOptions{DB: x.Engine()}})
	require.NoError(t, err)
	echobuntest.Isolate(t, x)
	closed := echobuntest.New(t, echobun.Config{})
	require.NoError(t, closed.Close())
	tests := []struct {
		name string
		x    *echobun.Extension
		want string
	}{
		{"twice", x, "already"},
		{"own engine", own, "default bind"},
		{"closed", closed, "closed"},
		{"nil", nil, "no extension"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeTB{TB: t}
			require.PanicsWithValue(t, f, func() { echobuntest.Isolate(f, tt.x) })
			require.Contains(t, f.fatal, tt.want)
			require.Empty(t, f.cleanup)
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	cfg := echobun.Config{
		DatabaseURI: "postgresql://nobody:secret@unreachable.invalid/x",
		Binds:       echobun.Binds{"orders": {URL: "mysql://unreachable.invalid/y", MaxOpenConns: 3, Unmanaged: true}},
	}
	x := echobuntest.New(t, cfg, (*Item)(nil), (*Order)(nil))
	inApp(t, x, func(ctx context.Context, s *echobun.Session) { require.NoError(t, insert(ctx, s, "here")) })
	requireCount(t, x, 1)
	require.Equal(t, "mysql://unreachable.invalid/y", cfg.Binds["orders"].URL)
	require.Len(t, x.Engines(), 2)
	require.Nil(t, echobuntest.New(t, echobun.Config{Binds: echobun.Binds{"a": {}}}).Engine())
	require.NotNil(t, echobuntest.New(t, echobun.Config{}).Engine())

	f := &fakeTB{TB: t}
	require.PanicsWithValue(t, f, func() { echobuntest.New(f, echobun.Config{}, (*Order)(nil)) })
	require.Contains(t, f.fatal, "orders")
	require.Empty(t, f.end())
}

func TestNewClosesAtTheEnd(t *testing.T) {
	t.Parallel()
	f := &fakeTB{TB: t}
	x := echobuntest.New(f, echobun.Config{}, (*Item)(nil))
	require.NoError(t, x.Engine().PingContext(t.Context()))
	require.Empty(t, f.end())
	require.Error(t, x.Engine().PingContext(t.Context()))
}

// A row that is a map has the types of its columns, as outside of a test.
func TestIsolatedRowsAsMaps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		var tables []*echobun.Table
		for _, bind := range []string{echobun.DefaultBind, "orders"} {
			tables = append(tables, &echobun.Table{Name: "facts", BindKey: bind, Columns: []echobun.Column{
				{Name: "name", Type: echobun.String(20)},
				{Name: "flag", Type: echobun.Boolean},
				{Name: "price", Type: echobun.Numeric(10, 2)},
			}})
		}
		require.NoError(t, x.Register(tables[0], tables[1]))
		ctx, end := x.AppContext(context.WithoutCancel(t.Context()))
		defer end()
		require.NoError(t, x.CreateAll(ctx))
		echobuntest.Isolate(t, x)
		s, err := x.Session(ctx)
		require.NoError(t, err)
		want := map[string]any{"name": "ann", "flag": true, "price": "12.30"}
		for _, table := range tables {
			_, err := s.NewInsert().Table(table).Model(&want).Exec(ctx)
			require.NoError(t, err)
			var rows []map[string]any
			require.NoError(t, s.NewSelect().Table(table).Scan(ctx, &rows))
			require.Equal(t, []map[string]any{want}, rows)
			var row map[string]any
			require.NoError(t, s.NewSelect().Table(table).Scan(ctx, &row))
			require.Equal(t, want, row)
		}
	})
}
