package otelechobun_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// requireTree requires that the spans of one bind are those of one transaction
// with an outcome, and returns the transaction's.
func requireTree(t *testing.T, spans tracetest.SpanStubs, bind, outcome string, statements ...string) tracetest.SpanStub {
	t.Helper()
	var tx tracetest.SpanStub
	var names []string
	var parents []trace.SpanID
	for _, span := range spans {
		switch {
		case attrs(span)["echobun.bind"] != bind:
		case span.SpanKind == trace.SpanKindInternal:
			require.Empty(t, tx.Name, "one transaction")
			tx = span
		default:
			names, parents = append(names, span.Name), append(parents, span.Parent.SpanID())
		}
	}
	require.Equal(t, "transaction", tx.Name)
	require.Equal(t, outcome, attrs(tx)["echobun.transaction.outcome"])
	require.Equal(t, statements, names)
	for i, parent := range parents {
		require.Equal(t, tx.SpanContext.SpanID(), parent, names[i])
	}
	for _, span := range spans {
		if span.Parent.SpanID() == tx.SpanContext.SpanID() {
			require.False(t, span.StartTime.Before(tx.StartTime), span.Name)
			require.False(t, span.EndTime.After(tx.EndTime), span.Name)
		}
	}
	return tx
}

var errNo = errors.New("no")

func TestTransaction(t *testing.T) {
	t.Parallel()
	w := watch(t, twoBinds(t))
	ctx, db, root := w.session(t)
	var inner trace.Span
	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		require.NoError(t, ran(tx.NewInsert().Model(&book{Title: "a"}).Exec(ctx)))
		require.NoError(t, ran(tx.NewInsert().Model(&user{Name: "a"}).Exec(ctx)))
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			ctx, inner = w.tracer.Start(ctx, "inner")
			require.NoError(t, tx.NewSelect().Model(new([]book)).Scan(ctx))
			return errNo
		})
		require.ErrorIs(t, err, errNo)
		return nil
	}))
	named, spans := w.take()
	tx := requireTree(t, spans, "", "committed",
		"BEGIN", "INSERT books", "SAVEPOINT", "SELECT books", "ROLLBACK TO", "RELEASE SAVEPOINT", "COMMIT")
	require.Equal(t, root.SpanContext().SpanID(), tx.Parent.SpanID())
	require.Equal(t, "sqlite", attrs(tx)["db.system.name"])
	require.NotContains(t, attrs(tx), "db.query.text")
	require.Equal(t, "BEGIN", spans[0].Name)
	require.False(t, named["INSERT books"].StartTime.Before(spans[0].EndTime), "it is sent after BEGIN")
	require.Empty(t, named["INSERT books"].Links)
	require.Len(t, named["SELECT books"].Links, 1, "the span that it would be in")
	require.Equal(t, inner.SpanContext().SpanID(), named["SELECT books"].Links[0].SpanContext.SpanID())

	other := requireTree(t, spans, "auth", "committed", "BEGIN", "INSERT users", "COMMIT")
	require.NotEqual(t, tx.SpanContext.SpanID(), other.SpanContext.SpanID())

	require.ErrorIs(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		return errors.Join(ran(tx.NewInsert().Model(&book{Title: "b"}).Exec(ctx)), errNo)
	}), errNo)
	_, spans = w.take()
	tx = requireTree(t, spans, "", "rolled_back", "BEGIN", "INSERT books", "ROLLBACK")
	require.Equal(t, codes.Unset, tx.Status.Code, "a rollback is no error")

	require.NoError(t, ran(db.NewInsert().Model(&book{Title: "c"}).Exec(ctx)))
	_, spans = w.take()
	require.Equal(t, root.SpanContext().SpanID(), spans[0].Parent.SpanID(), "it is outside again")
	require.Empty(t, w.ledger.names()[2:], "open are the test's own spans")
}

// TestBunTransaction: Bun's own, of a session's bind and of an engine.
func TestBunTransaction(t *testing.T) {
	t.Parallel()
	w := watch(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, db, root := w.session(t)
	insert := func(ctx context.Context, tx bun.Tx) error {
		return ran(tx.NewInsert().Model(&book{}).Exec(ctx))
	}
	require.NoError(t, db.Bind("").RunInTx(ctx, nil, insert))
	_, spans := w.take()
	tx := requireTree(t, spans, "", "committed", "BEGIN", "INSERT books", "COMMIT")
	require.Equal(t, root.SpanContext().SpanID(), tx.Parent.SpanID())

	require.NoError(t, w.Engine().RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return ran(tx.NewRaw("SELECT 1").Exec(ctx))
	}))
	_, spans = w.take()
	requireTree(t, spans, "", "committed", "BEGIN", "SELECT", "COMMIT")

	begun, err := db.Bind("").BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, begun.Rollback())
	_, spans = w.take()
	requireTree(t, spans, "", "rolled_back", "BEGIN", "ROLLBACK")

	begun, err = db.Bind("").BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, begun.Commit())
	require.Error(t, begun.Rollback(), "as a deferred one does")
	_, spans = w.take()
	requireTree(t, spans, "", "committed", "BEGIN", "COMMIT")
}

// TestBeginFails: the transaction has failed then, and a new one can begin.
func TestBeginFails(t *testing.T) {
	t.Parallel()
	w := watch(t, echobun.Config{
		DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1, PoolTimeout: 20 * time.Millisecond},
	})
	ctx, db, _ := w.session(t)
	conn, err := w.Engine().DB.Conn(ctx)
	require.NoError(t, err)
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		return ran(tx.NewRaw("SELECT 1").Exec(ctx))
	})
	require.ErrorIs(t, err, echobun.ErrPoolTimeout)
	named, _ := w.take()
	require.Equal(t, "failed", attrs(named["transaction"])["echobun.transaction.outcome"])
	require.Equal(t, "pool_timeout", attrs(named["transaction"])["error.type"])
	require.Equal(t, codes.Error, named["transaction"].Status.Code)
	require.NoError(t, conn.Close())

	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		return ran(tx.NewRaw("SELECT 1").Exec(ctx))
	}))
	_, spans := w.take()
	requireTree(t, spans, "", "committed", "BEGIN", "SELECT", "COMMIT")
}

// A panicker panics before or after a statement.
type panicker struct {
	before, after string
	armed         atomic.Bool
}

func (p *panicker) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if p.armed.Load() && event.Query == p.before {
		panic("before " + p.before)
	}
	return ctx
}

func (p *panicker) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	if p.armed.Load() && event.Query == p.after {
		panic("after " + p.after)
	}
}

// TestSpansEnd: however a transaction ends, its span does.
func TestSpansEnd(t *testing.T) {
	t.Parallel()
	insert := func(ctx context.Context, tx *echobun.Session) error {
		return ran(tx.NewInsert().Model(&book{}).Exec(ctx))
	}
	for name, tc := range map[string]struct {
		hook    *panicker
		outcome string
		run     func(ctx context.Context, db *echobun.Session) error
	}{
		"panic": {outcome: "rolled_back", run: func(ctx context.Context, db *echobun.Session) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				_ = insert(ctx, tx)
				panic("handler")
			})
		}},
		"Goexit": {outcome: "rolled_back", run: func(ctx context.Context, db *echobun.Session) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				_ = insert(ctx, tx)
				runtime.Goexit()
				return nil
			})
		}},
		"cancelled": {outcome: "rolled_back", run: func(ctx context.Context, db *echobun.Session) error {
			ctx, cancel := context.WithCancel(ctx)
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				err := insert(ctx, tx)
				cancel()
				return err
			})
		}},
		"forgotten": {outcome: "rolled_back", run: func(ctx context.Context, db *echobun.Session) error {
			tx, err := db.Begin(ctx, nil)
			if err == nil {
				err = insert(ctx, tx)
			}
			return err
		}},
		"Bun's, forgotten": {outcome: "abandoned", run: func(ctx context.Context, db *echobun.Session) error {
			tx, err := db.Bind("").BeginTx(ctx, nil)
			if err == nil {
				_, err = tx.ExecContext(ctx, "SELECT 1")
			}
			return err
		}},
		"hook panics before COMMIT":  {hook: &panicker{before: "COMMIT"}, outcome: "abandoned"},
		"hook panics after COMMIT":   {hook: &panicker{after: "COMMIT"}, outcome: "committed"},
		"hook panics before BEGIN":   {hook: &panicker{before: "BEGIN"}},
		"hook panics after BEGIN":    {hook: &panicker{after: "BEGIN"}, outcome: "abandoned"},
		"hook panics at a statement": {hook: &panicker{before: `INSERT INTO "books" ("id", "title") VALUES (DEFAULT, '')`}, outcome: "committed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := echobun.Config{DatabaseURI: sqliteURL(t)}
			if tc.hook != nil {
				cfg.EngineOptions.Hooks = []bun.QueryHook{tc.hook}
			}
			w := watch(t, cfg)
			if tc.hook != nil {
				tc.hook.armed.Store(true)
			}
			run := tc.run
			if run == nil {
				run = func(ctx context.Context, db *echobun.Session) error { return db.RunInTx(ctx, nil, insert) }
			}
			var done sync.WaitGroup
			done.Go(func() {
				defer func() { _ = recover() }()
				ctx, end := w.AppContext(t.Context())
				defer end()
				db, err := w.Session(ctx)
				if err == nil {
					_ = run(ctx, db)
				}
			})
			done.Wait()
			require.Eventually(t, func() bool { return len(w.ledger.names()) == 0 }, time.Minute, time.Millisecond)
			named, _ := w.take()
			tx, began := named["transaction"]
			require.Equal(t, tc.outcome != "", began)
			if began {
				require.Equal(t, tc.outcome, attrs(tx)["echobun.transaction.outcome"])
			}
			// database/sql rolls an abandoned transaction back in its own time.
			require.Eventually(t, func() bool { return w.Engine().Stats().InUse == 0 }, time.Minute, time.Millisecond)
		})
	}
}

// TestTwoPhase: the transaction's span ends with PREPARE; what follows is
// outside of it.
func TestTwoPhase(t *testing.T) {
	t.Parallel()
	for last, auth := range map[string]string{"COMMIT PREPARED": dbtest.Postgres(t).URL(), "XA COMMIT": dbtest.MariaDB(t).URL()} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			testTwoPhase(t, auth, last)
		})
	}
}

// testTwoPhase is the test with another database for the bind that is prepared,
// and what commits it there.
func testTwoPhase(t *testing.T, auth, last string) {
	t.Helper()
	w := watch(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"auth": {URL: auth}}})
	ctx, db, root := w.session(t)
	both := func(fail error) error {
		return db.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true}, func(ctx context.Context, tx *echobun.Session) error {
			return errors.Join(ran(tx.NewInsert().Model(&book{Title: fmt.Sprint(fail)}).Exec(ctx)),
				ran(tx.NewInsert().Model(&user{Name: "a"}).Exec(ctx)), fail)
		})
	}
	for fail, outcomesOf := range map[error]map[any]any{
		// The bind that keeps the decision commits it and its part at once.
		nil:   {"": "committed", "auth": "prepared"},
		errNo: {"": "rolled_back", "auth": "rolled_back"},
	} {
		require.ErrorIs(t, both(fail), fail)
		_, spans := w.take()
		outcomes, prepares, finished := map[any]any{}, 0, 0
		parents := make(map[trace.SpanID]any)
		for _, span := range spans {
			if span.SpanKind == trace.SpanKindInternal {
				outcomes[attrs(span)["echobun.bind"]] = attrs(span)["echobun.transaction.outcome"]
				parents[span.SpanContext.SpanID()] = attrs(span)["echobun.bind"]
			}
		}
		for _, span := range spans {
			switch attrs(span)["db.operation.name"] {
			case "PREPARE":
				prepares++
				require.NotContains(t, attrs(span), "db.query.text")
				require.Equal(t, attrs(span)["echobun.bind"], parents[span.Parent.SpanID()])
			case last:
				finished++
			}
		}
		require.Equal(t, outcomesOf, outcomes)
		if fail == nil {
			require.Equal(t, 1, prepares)
			require.Equal(t, 1, finished)
		} else {
			require.Zero(t, prepares+finished)
		}
	}
	root.End()
	require.Empty(t, w.ledger.names())
}

// TestConcurrent: every statement is in a transaction of its own trace.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const clients, rounds = 8, 10
	w := watch(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL()})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range rounds {
				ctx, root := w.tracer.Start(context.WithoutCancel(t.Context()), "request")
				ctx, end := w.AppContext(ctx)
				ctx, cancel := context.WithCancel(ctx)
				db, err := w.Session(ctx)
				if err != nil {
					t.Error(err)
				}
				_ = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					var both sync.WaitGroup
					for range 2 {
						both.Go(func() { _, _ = tx.NewRaw("SELECT pg_sleep(0.002)").Exec(ctx) })
					}
					if i%3 == 0 {
						cancel()
					}
					both.Wait()
					return nil
				})
				cancel()
				end()
				root.End()
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return len(w.ledger.names()) == 0 }, time.Minute, time.Millisecond)

	_, spans := w.take()
	traces := make(map[trace.SpanID]trace.TraceID)
	for _, span := range spans {
		if span.SpanKind == trace.SpanKindInternal && attrs(span)["echobun.transaction.outcome"] != nil {
			traces[span.SpanContext.SpanID()] = span.SpanContext.TraceID()
		}
	}
	require.NotEmpty(t, traces)
	selects := 0
	for _, span := range spans {
		if span.SpanKind != trace.SpanKindClient {
			continue
		}
		if attrs(span)["db.operation.name"] == "SELECT" && span.Status.Code == codes.Unset {
			selects++
			require.Contains(t, traces, span.Parent.SpanID())
		}
		if id, ok := traces[span.Parent.SpanID()]; ok {
			require.Equal(t, id, span.SpanContext.TraceID())
		}
	}
	require.GreaterOrEqual(t, selects, 2*clients*(rounds-4), "those that nobody cancelled")
}
