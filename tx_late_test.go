package echobun_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

// The tests in this file have something come when the transaction, or a part
// of it, is over.

// A statement of another goroutine has found its branch, and begins it when
// the transaction has been committed: nobody would end it.
func TestTxBeginsNoBranchAfterItsEnd(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	tx, err := s.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, ran(tx.NewInsert().Model(&Debit{Name: "in time"}).Exec(ctx)))
	begin, err := echobun.LateBranch(tx, "meta")
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	require.Error(t, begin(ctx))
	requireNamed(t, x, "in time", 1, 0, 0)
	requireAtRest(t, x)
}

// A transaction that was begun in isolation has nothing to prepare, also when
// the isolation ends first.
func TestTwoPhaseOutlivesItsIsolation(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	end, err := bridge.Isolate(x)
	require.NoError(t, err)
	tx, err := s.Begin(ctx, inTwoPhases)
	require.NoError(t, err)
	require.NoError(t, insertAll(ctx, tx, "late"))
	_ = end() // It says that a transaction is open.
	require.Error(t, tx.Commit(ctx))
	requireNamed(t, x, "late", 0, 0, 0)
	requireAtRest(t, x)
}

// A panicker panics when a transaction begins.
type panicker struct{ armed bool }

func (p *panicker) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if p.armed && event.Query == "BEGIN" {
		panic("BEGIN")
	}
	return ctx
}

func (*panicker) AfterQuery(context.Context, *bun.QueryEvent) {}

// A hook that panics at BEGIN leaves no claim to be the last resource.
func TestTwoPhaseForgetsWhoPanicked(t *testing.T) {
	t.Parallel()
	cfg, hook := threeDatabases(t), &panicker{}
	cfg.Binds["auth"] = echobun.EngineOptions{URL: sqliteURL(t), Hooks: []bun.QueryHook{hook}}
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	hook.armed = true
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		require.Panics(t, func() {
			_ = tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				return ran(tx.NewInsert().Model(&Credit{Name: "panicked"}).Exec(ctx))
			})
		})
		if err := ran(tx.NewInsert().Model(&Debit{Name: "went on"}).Exec(ctx)); err != nil {
			return err
		}
		return ran(tx.NewInsert().Model(&Note{Name: "went on"}).Exec(ctx))
	}))
	hook.armed = false
	requireNamed(t, x, "went on", 1, 0, 1)
	requireAtRest(t, x)
}

// AfterCommit of a nested transaction that has been released is its parent's.
func TestAfterCommitOfAReleasedLevel(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, s := newSession(t, x)
	calls := map[string]int{}
	keep := func(tx *echobun.Session, fails error) (kept *echobun.Session) {
		err := tx.RunInTx(ctx, nil, func(ctx context.Context, inner *echobun.Session) error {
			kept = inner
			return errors.Join(ran(inner.NewRaw("SELECT 1").Exec(ctx)), fails)
		})
		require.ErrorIs(t, err, fails)
		return kept
	}
	var released, reverted *echobun.Session
	require.NoError(t, s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		released, reverted = keep(tx, nil), keep(tx, errors.New("no"))
		released.AfterCommit(func(context.Context) { calls["released"]++ })
		reverted.AfterCommit(func(context.Context) { calls["reverted"]++ })
		require.Empty(t, calls)
		return nil
	}))
	require.Equal(t, map[string]int{"released": 1}, calls)
	released.AfterCommit(func(context.Context) { calls["late"]++ })
	require.Equal(t, map[string]int{"released": 1, "late": 1}, calls)
}

// The deadline that ends a transaction is its error, whatever database/sql says
// of rows that were read on another context.
func TestTxDeadlineWhileRowsAreRead(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	appCtx, s := newSession(t, x)
	ctx, cancel := context.WithTimeout(appCtx, 200*time.Millisecond)
	defer cancel()
	err := s.RunInTx(ctx, nil, func(_ context.Context, tx *echobun.Session) error {
		rows, err := tx.Bind("").QueryContext(appCtx, "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			time.Sleep(time.Millisecond)
		}
		return rows.Err()
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireAtRest(t, x)
}

// A pauser holds a statement back.
type pauser struct{ reached, goOn chan struct{} }

func (p *pauser) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if event.Query == "SELECT 'late'" {
		p.reached <- struct{}{}
		<-p.goOn
	}
	return ctx
}

func (*pauser) AfterQuery(context.Context, *bun.QueryEvent) {}

// A statement of another goroutine is overtaken by the commit of an atomic
// request. The next transaction of the request is not its concern.
func TestAtomicOvertakenStatement(t *testing.T) {
	t.Parallel()
	hook := &pauser{make(chan struct{}), make(chan struct{})}
	s := &atomicServer{Echo: echo.New()}
	s.x = newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{hook}},
	}, (*Debit)(nil))
	ctx, _ := newSession(t, s.x)
	require.NoError(t, s.x.CreateAll(ctx))
	s.Use(s.atomically())
	var late, next error
	s.GET("/", func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		if err := ran(db.NewInsert().Model(&Debit{Name: "first"}).Exec(ctx)); err != nil {
			return err
		}
		done := make(chan error)
		go func() { done <- ran(db.Bind("").ExecContext(ctx, "SELECT 'late'")) }()
		<-hook.reached
		if _, err := c.Response().Write([]byte("x")); err != nil {
			return err
		}
		close(hook.goOn)
		late = <-done
		next = ran(db.NewInsert().Model(&Debit{Name: "next"}).Exec(ctx))
		return nil
	})
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/").Code)
	require.Error(t, late)
	require.NoError(t, next)
	requireAtRest(t, s.x)
}
