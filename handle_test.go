package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

// TestHandleErrors asserts what the errors of each way to send SQL are.
func TestHandleErrors(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		idb := db.Bind("")
		for name, err := range map[string]error{
			"exec":      ran(idb.ExecContext(ctx, "SELECT * FROM no_such_table")),
			"query":     func() error { _, err := idb.QueryContext(ctx, "SELECT * FROM no_such_table"); return err }(), //nolint:rowserrcheck,sqlclosecheck // There are none.
			"query row": idb.QueryRowContext(ctx, "SELECT * FROM no_such_table").Scan(new(int)),
			"builder":   idb.NewSelect().Table("no_such_table").Scan(ctx, new(int)),
			"raw":       db.NewRaw("SELECT * FROM no_such_table").Scan(ctx, new(int)),
			"count":     ran(idb.NewSelect().Table("no_such_table").Count(ctx)),
		} {
			var bindErr *echobun.BindError
			require.ErrorAs(t, err, &bindErr, name)
			require.Equal(t, "SELECT", bindErr.Op, name)
			require.Empty(t, bindErr.Bind)
			require.ErrorContains(t, err, "echobun: default bind: SELECT: ")
			require.NotErrorIs(t, err, echobun.ErrUnique)
			require.NotNil(t, errors.Unwrap(bindErr))
		}
		require.Equal(t, sql.ErrNoRows, idb.QueryRowContext(ctx, "SELECT id FROM books").Scan(new(int)))
		require.Equal(t, sql.ErrNoRows, db.NewSelect().Model(new(book)).Scan(ctx))
	})
}

// TestStatementObeysContext asserts that the context given to a statement
// cuts it, whatever the app context's is.
func TestStatementObeysContext(t *testing.T) {
	t.Parallel()
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		slow := map[dialect.Name]string{
			dialect.PG: "SELECT pg_sleep(10)", dialect.MySQL: "SELECT SLEEP(10)",
			dialect.SQLite: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
		}[x.Engine().Dialect().Name()]

		over, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, ran(db.Bind("").ExecContext(over, "SELECT 1")), context.Canceled)
		require.Zero(t, x.Engine().Stats().OpenConnections, "there was nothing to connect for")

		timed, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := db.NewRaw(slow).Scan(timed, new(any))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 5*time.Second)
		require.ErrorContains(t, err, "default bind")
		requireReturned(t, x)

		parent, cancelParent := context.WithCancel(t.Context())
		ctx, end := x.AppContext(parent)
		defer end()
		s, err := x.Session(ctx)
		require.NoError(t, err)
		cancelParent()
		require.ErrorIs(t, ran(s.Bind("").ExecContext(ctx, "SELECT 1")), context.Canceled)
		_, err = s.Bind("").ExecContext(t.Context(), "SELECT 1")
		require.NoError(t, err, "a context of its own has its own life")
	})
}

// TestManyBinds uses more binds in one session than it has chains for, at once.
func TestManyBinds(t *testing.T) {
	t.Parallel()
	keys := make([]string, 30)
	for i := range keys {
		keys[i] = fmt.Sprintf("bind_%02d", i)
	}
	cfg, hooks := sqliteBinds(t, keys...)
	x := newExtension(t, cfg)
	ctx, db := newSession(t, x)

	var wg sync.WaitGroup
	for range 4 {
		for _, key := range keys[:25] {
			wg.Go(func() {
				if _, err := db.Bind(key).ExecContext(ctx, "SELECT ?", key); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for i, key := range keys {
		sent := hooks[key].take()
		if i >= 25 {
			require.Empty(t, sent)
			require.Zero(t, x.Engines()[key].Stats().OpenConnections, "a session opens only the binds that it uses")
			continue
		}
		require.Len(t, sent, 4)
		for _, s := range sent {
			require.Equal(t, "SELECT '"+key+"'", s)
		}
	}
	require.Empty(t, hooks[""].take())
	require.Same(t, db.Bind("bind_03"), db.Bind("bind_03"), "one session has one door to each engine")
}

// TestRowsHoldTheirConnection reads rows while others use the session.
func TestRowsHoldTheirConnection(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for i := range 5 {
			require.NoError(t, addBook(ctx, db.Bind(""), fmt.Sprint("book ", i)))
		}
		rows, err := db.Bind("").QueryContext(ctx, "SELECT id FROM books")
		require.NoError(t, err)
		defer rows.Close()
		read := 0
		for rows.Next() {
			read++
			n, err := db.NewSelect().Model((*book)(nil)).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, 5, n)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 5, read)
		require.NoError(t, rows.Close())
		requireReturned(t, x)
	})
}

// TestWaitingLeavesNothingBehind makes statements of one long-lived context
// wait for a connection: it must not remember them afterwards.
func TestWaitingLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // It measures the heap.
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}})
	ctx, db := newSession(t, x)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	wait := func(n int) {
		for range n {
			conn, err := x.Engine().Conn(ctx)
			require.NoError(t, err)
			waited := x.Engine().Stats().WaitCount
			done := make(chan error, 3)
			go func() { done <- ran(db.Bind("").ExecContext(ctx, "SELECT 1")) }()
			go func() { done <- ran(db.Bind("").ExecContext(ctx, "no statement")) }()
			go func() { done <- db.Bind("").QueryRowContext(ctx, "no statement").Scan(new(int)) }()
			require.Eventually(t, func() bool { return x.Engine().Stats().WaitCount >= waited+3 }, 10*time.Second, time.Microsecond)
			require.NoError(t, conn.Close())
			failed := 0
			for range 3 {
				if err := <-done; err != nil {
					failed++
				}
			}
			require.Equal(t, 2, failed)
		}
	}
	heap := func() int64 {
		for range 3 {
			runtime.GC()
			time.Sleep(10 * time.Millisecond)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapObjects)
	}
	wait(50)
	before := heap()
	wait(500)
	require.Less(t, heap()-before, int64(1500), "objects that 1500 waits left behind")
}

// TestSessionIsLazy asserts that a session that sends nothing opens nothing.
func TestSessionIsLazy(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg, (*book)(nil), (*routedNote)(nil))
	_, db := newSession(t, x)
	_ = db.NewSelect().Model((*book)(nil)).Where("id = 1")
	_ = db.NewInsert().Model(&routedNote{})
	_ = db.Bind("auth").NewRaw("SELECT 1")
	require.NotNil(t, db.For(book{}).Dialect())
	for key, engine := range x.Engines() {
		require.Zero(t, engine.Stats().OpenConnections, key)
	}
}

// TestIDBFeedsBunCode gives what Bind returns to code that takes a bun.IDB.
func TestIDBFeedsBunCode(t *testing.T) {
	t.Parallel()
	perDatabase(t, bookModels, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		save := func(db bun.IDB, title string) error {
			_, err := db.NewInsert().Model(&book{Title: title}).Exec(ctx)
			return err
		}
		require.NoError(t, save(db.For(book{}), "one"))
		require.NoError(t, save(db.Bind(""), "two"))
		require.ErrorIs(t, db.Bind("").RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error {
			require.NoError(t, save(tx, "three"))
			return errPlanned
		}), errPlanned)
		require.Equal(t, x.Engine().Dialect(), db.Bind("").Dialect())
		n, err := db.NewSelect().Model((*book)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)

		tests := map[string]func() error{
			"create":   func() error { return ran(db.Bind("").NewCreateTable().Model((*onDefault)(nil)).Exec(ctx)) },
			"add":      func() error { return ran(db.Bind("").NewAddColumn().Table("things").ColumnExpr("x int").Exec(ctx)) },
			"drop col": func() error { return ran(db.Bind("").NewDropColumn().Table("things").Column("x").Exec(ctx)) },
			"truncate": func() error { return ran(db.Bind("").NewTruncateTable().Table("things").Exec(ctx)) },
			"drop":     func() error { return ran(db.Bind("").NewDropTable().Table("things").Exec(ctx)) },
		}
		for _, name := range []string{"create", "add", "drop col", "truncate", "drop"} {
			require.NoError(t, tests[name](), name)
		}
		require.Empty(t, columnNames(ctx, t, db.Bind(""), "things"))
	})
}
