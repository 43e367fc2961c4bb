package echobun_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun"
)

// recordedBinds is a configuration on three SQLite files that records statements.
func recordedBinds(tb testing.TB) echobun.Config {
	tb.Helper()
	cfg := threeSQLite(tb)
	cfg.RecordQueries = true
	return cfg
}

// recording returns an extension that records, with the tables of txModels,
// and a session that has recorded nothing yet.
func recording(tb testing.TB, cfg echobun.Config) (*echobun.Extension, context.Context, *echobun.Session) {
	tb.Helper()
	x := newExtension(tb, cfg, txModels()...)
	ctx, end := x.AppContext(context.WithoutCancel(tb.Context()))
	require.NoError(tb, x.CreateAll(ctx))
	end()
	ctx, s := newSession(tb, x)
	return x, ctx, s
}

// opsOf returns what was recorded, as "bind OP".
func opsOf(s *echobun.Session) (ops []string) {
	records, _ := s.Queries()
	for _, r := range records {
		ops = append(ops, strings.TrimSpace(r.Bind+" "+r.Op))
	}
	return ops
}

// here is the line that calls it, a few lines off.
func here(off int) string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", file, line+off)
}

func TestQueriesRecord(t *testing.T) {
	t.Parallel()
	_, ctx, s := recording(t, recordedBinds(t))
	before := time.Now()
	require.NoError(t, insertAll(ctx, s, "secret"))
	require.ErrorIs(t, insertAll(ctx, s, "secret"), echobun.ErrUnique)
	require.Error(t, s.NewSelect().Model(new(Debit)).Where("name = ?", "nobody").Scan(ctx))
	require.Error(t, ran(s.NewRaw("SELECT ? FROM nowhere", "secret").Exec(ctx)))

	require.Equal(t, []string{"INSERT", "auth INSERT", "meta INSERT", "INSERT", "SELECT", "SELECT"}, opsOf(s))
	records, dropped := s.Queries()
	require.Zero(t, dropped)
	for i, r := range records {
		require.NotContains(t, r.Template, "secret")
		require.Empty(t, r.Query, "without LogArgs")
		require.False(t, r.Start.Before(before))
		require.Positive(t, r.Duration)
		before = r.Start
		require.Contains(t, r.Caller, "_test.go:", i)
	}
	require.EqualValues(t, 1, records[0].Rows)
	require.ErrorIs(t, records[3].Err, echobun.ErrUnique)
	require.NoError(t, records[4].Err, "no rows are no failure")
	require.ErrorContains(t, records[5].Err, "nowhere")
	require.Equal(t, "SELECT ? FROM nowhere", records[5].Template)
	require.EqualValues(t, -1, records[5].Rows)

	records[0].Op = "changed"
	require.Equal(t, "INSERT", opsOf(s)[0], "the slice is the caller's own")
}

func TestQueriesWithArguments(t *testing.T) {
	t.Parallel()
	cfg := recordedBinds(t)
	cfg.LogArgs = true
	_, ctx, s := recording(t, cfg)
	require.NoError(t, insertAll(ctx, s, "it's shown"))
	records, _ := s.Queries()
	require.Contains(t, records[0].Query, "'it''s shown'")
	require.NotContains(t, records[0].Template, "shown")
}

func TestQueriesAreOff(t *testing.T) {
	t.Parallel()
	cfg := threeSQLite(t)
	cfg.LogStatements = true
	_, ctx, s := recording(t, cfg)
	require.NoError(t, insertAll(ctx, s, "a"))
	require.Empty(t, opsOf(s))
}

// Whatever context a statement is sent with, it belongs to its session.
func TestQueriesOfForeignContexts(t *testing.T) {
	t.Parallel()
	_, _, s := recording(t, recordedBinds(t))
	ctx := context.Background()
	var n int
	auth := s.Bind("auth")
	for _, run := range []func() error{
		func() error { return insertAll(ctx, s, "a") },
		func() error { return ran(auth.ExecContext(ctx, "SELECT 1")) },
		func() error { return auth.QueryRowContext(ctx, "SELECT 1").Scan(&n) },
		func() error { return closeRows(auth.QueryContext(ctx, "SELECT 1")) },
		func() error { return s.For((*Note)(nil)).NewRaw("SELECT 1").Scan(ctx, &n) },
	} {
		require.NoError(t, run())
	}
	want := []string{"INSERT", "auth INSERT", "meta INSERT", "auth SELECT", "auth SELECT", "auth SELECT", "meta SELECT"}
	require.Equal(t, want, opsOf(s))

	require.NoError(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		require.NoError(t, ran(tx.Bind("auth").ExecContext(ctx, "SELECT 2")))
		return tx.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
			return ran(tx.NewInsert().Model(&Credit{Name: "b"}).Exec(ctx))
		})
	}))
	want = append(want, "auth BEGIN", "auth SELECT", "auth SAVEPOINT", "auth INSERT", "auth RELEASE SAVEPOINT", "auth COMMIT")
	require.Equal(t, want, opsOf(s))

	tx, err := auth.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	want = append(want, "auth BEGIN", "auth ROLLBACK")
	require.Equal(t, want, opsOf(s))
}

func TestQueriesOfTransactions(t *testing.T) {
	t.Parallel()
	_, ctx, s := recording(t, recordedBinds(t))
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "a"))
	require.NoError(t, tx.Rollback(ctx))
	want := []string{
		"BEGIN", "INSERT", "auth BEGIN", "auth INSERT", "meta BEGIN", "meta INSERT", "ROLLBACK", "auth ROLLBACK", "meta ROLLBACK",
	}
	require.Equal(t, want, opsOf(s))
	require.Equal(t, want, opsOf(tx), "all sessions of an app context have the same")

	require.NoError(t, s.Bind("meta").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return ran(tx.NewInsert().Model(&Note{Name: "b"}).Exec(ctx))
	}))
	require.Equal(t, append(want, "meta BEGIN", "meta INSERT", "meta COMMIT"), opsOf(s))
}

func TestQueriesOfTwoPhases(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.RecordQueries = true
	x, ctx, before := recording(t, cfg)
	require.NoError(t, before.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		return insertAll(ctx, tx, "before") // Makes the tables of decisions.
	}))
	_, s := newSession(t, x)
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(_ context.Context, tx *echobun.Session) error {
		return insertAll(context.Background(), tx, "a")
	}))
	ops := opsOf(s)
	require.Subset(t, ops, []string{"BEGIN", "INSERT", "auth BEGIN", "auth INSERT", "meta BEGIN", "meta INSERT", "COMMIT", "auth COMMIT", "meta COMMIT"})
	records, _ := s.Queries()
	for _, r := range records {
		require.NoError(t, r.Err, r.Template)
	}
}

// The queries of relations are the session's, and so are those that a hook
// sends in the middle of another statement, which stays whose it is.
func TestQueriesOfRelationsAndHooks(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), RecordQueries: true},
		(*secretOwner)(nil), (*secretPart)(nil), (*secretTag)(nil), (*secretOwnerTag)(nil), (*spawning)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, ran(s.NewInsert().Model(&secretOwner{Key: "k", Text: "t"}).Exec(ctx)))
	require.NoError(t, ran(s.NewInsert().Model(&spawning{ID: 1}).Exec(ctx)))

	one := s
	_, other := newSession(t, x)
	n := len(opsOf(one))
	require.NoError(t, one.NewSelect().Model(new([]secretOwner)).Relation("Parts").Scan(context.Background()))
	require.Equal(t, []string{"SELECT", "SELECT"}, opsOf(one)[n:])

	scanning := context.WithValue(context.Background(), spawnKey{}, other)
	require.NoError(t, one.NewSelect().Model(new([]spawning)).Scan(scanning))
	require.Equal(t, []string{"SELECT", "SELECT", "SELECT"}, opsOf(one)[n:])
	require.Equal(t, []string{"UPDATE", "UPDATE"}, opsOf(other))
}

type spawnKey struct{}

// spawning sends statements of another session while it is scanned, two at once.
type spawning struct {
	bun.BaseModel `bun:"table:spawning"`

	ID int64 `bun:",pk"`
}

func (*spawning) AfterScanRow(ctx context.Context) error {
	s, ok := ctx.Value(spawnKey{}).(*echobun.Session)
	if !ok {
		return nil
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _, _ = s.Bind("").ExecContext(ctx, "UPDATE spawning SET id = id WHERE 1 = 0") })
	}
	both.Wait()
	return nil
}

func TestQueriesCaller(t *testing.T) {
	t.Parallel()
	x, ctx, s := recording(t, recordedBinds(t))
	var want []string
	sent := func(line string, err error) {
		require.NoError(t, err)
		want = append(want, line)
	}
	sent(here(0), ran(s.Bind("auth").ExecContext(ctx, "SELECT 1")))
	sent(here(0), ran(s.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx)))
	sent(here(0), s.NewSelect().Model(new([]Debit)).Scan(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Bind("auth").ExecContext(ctx, "SELECT 1")
	}()
	<-done
	want = append(want, here(-3))

	e := echo.New()
	e.Use(x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	var line string
	var inHandler *echobun.Session
	e.GET("/", func(c echo.Context) error {
		inHandler = c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		if line = here(0); ran(inHandler.NewInsert().Model(&Credit{Name: "a"}).Exec(c.Request().Context())) != nil {
			return echo.ErrTeapot
		}
		return c.NoContent(http.StatusNoContent)
	})
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusNoContent, rec.Code)

	records, _ := s.Queries()
	for i, r := range records {
		require.Equal(t, want[i], r.Caller)
	}
	require.Len(t, records, len(want))
	records, _ = inHandler.Queries()
	require.Equal(t, []string{"auth BEGIN", "auth INSERT", "auth COMMIT"}, opsOf(inHandler), "also after the request")
	require.Equal(t, line, records[0].Caller)
	require.Equal(t, line, records[1].Caller)
	require.Contains(t, records[2].Caller, "queries_test.go:", "what has written the answer")
}

func TestQueriesAreBounded(t *testing.T) {
	t.Parallel()
	_, ctx, s := recording(t, recordedBinds(t))
	const goroutines, each = 8, 150
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				_, _ = s.Bind("auth").ExecContext(ctx, "SELECT 1")
				_, _ = s.Queries()
			}
		})
	}
	all.Wait()
	records, dropped := s.Queries()
	require.Len(t, records, 1000)
	require.Equal(t, goroutines*each-1000, dropped)
}

// TestQueriesHaveBoundedTexts: an app context may live for as long as the application.
func TestQueriesHaveBoundedTexts(t *testing.T) {
	t.Parallel()
	cfg := recordedBinds(t)
	cfg.LogArgs = true
	_, ctx, s := recording(t, cfg)
	for i := range 12 {
		err := ran(s.NewRaw("SELECT json_extract('{}', ?)", strings.Repeat("x", 1<<20)).Exec(ctx)) // The error quotes it.
		require.Error(t, err, i)
	}
	require.NoError(t, ran(s.NewRaw("SELECT 1").Exec(ctx)))
	records, dropped := s.Queries()
	require.Len(t, records, 7, "of 2 MiB, in 16 MiB")
	require.Equal(t, 6, dropped, "with the short one, which is not one of the first")
}

// An INSERT that gets more columns than Bun has written, as on SQLite, is its
// session's still, and recorded as it was sent.
func TestQueriesThatAreRewritten(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watch := &watchHook{txs: make(map[string]any)}
			x := newExtension(t, echobun.Config{
				DatabaseURI: url(t), RecordQueries: true, LogArgs: true, EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{watch}},
			}, (*defaulted)(nil))
			ctx, db := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx))
			watch.take()
			require.NoError(t, db.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
				return ran(tx.NewInsert().Model(&[]defaulted{{}, {Count: 9}}).Exec(context.Background()))
			}))
			require.NoError(t, ran(db.NewInsert().Model(new(defaulted)).Exec(context.Background())))

			records, _ := db.Queries()
			inserts := slices.DeleteFunc(records, func(r echobun.QueryRecord) bool { return r.Op != "INSERT" })
			require.Len(t, inserts, 2)
			txs := watch.take()
			require.NotNil(t, txs[inserts[0].Query], "what was sent belongs to the transaction")
			require.Contains(t, inserts[0].Query, "9")
			quotes := strings.NewReplacer("`", `"`)
			require.Contains(t, quotes.Replace(inserts[0].Template), `"count"`)
			require.Contains(t, inserts[0].Template, "VALUES (?")
			require.NotContains(t, inserts[0].Template, "), (", "the same for any number of rows")
			require.Contains(t, quotes.Replace(inserts[1].Template), `("id"`)
		})
	}
}

// A sequel belongs to a book.
type sequel struct {
	ID     int64 `bun:",pk,autoincrement"`
	BookID int64
	Book   *book `bun:"rel:belongs-to,join:book_id=id"`
}

// A counted part of a statement counts how often it is written.
type counted struct {
	bun.Query

	n *int
}

func (c counted) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	*c.n++
	return c.Query.AppendQuery(gen, b)
}

// To record a statement does not make it again, which would run the
// application's code that it is made of once more, and Bun's that adds the
// conditions of a relation to the query.
func TestQueriesAreMadeOnce(t *testing.T) {
	t.Parallel()
	x := newExtension(t, observed(echobun.Config{DatabaseURI: sqliteURL(t)}), (*book)(nil), (*sequel)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, ran(db.NewInsert().Model(&book{Title: "x"}).Exec(ctx)))
	require.NoError(t, ran(db.NewInsert().Model(&sequel{BookID: 1}).Exec(ctx)))

	n := 0
	part := counted{db.Bind("").NewSelect().ColumnExpr("1 AS n"), &n}
	require.NoError(t, db.Bind("").NewSelect().With("c", part).TableExpr("c").Column("n").Scan(ctx, new(int)))
	require.Equal(t, 1, n)

	found, n := new(sequel), 0
	q := db.NewSelect().Model(found).Relation("Book", func(q *bun.SelectQuery) *bun.SelectQuery {
		n++
		return q.Where("title = ?", "x")
	})
	require.NoError(t, q.Limit(1).Scan(ctx))
	require.Equal(t, "x", found.Book.Title)
	require.Equal(t, 1, n)
	records, _ := db.Queries()
	require.Equal(t, 1, strings.Count(records[len(records)-1].Template, "title = ?"))
}
