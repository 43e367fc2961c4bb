package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// panicHook is a query hook with a fault.
type panicHook struct{}

func (panicHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if ctx.Value(panicHook{}) != nil && event.IQuery == nil {
		panic("boom")
	}
	return ctx
}

func (panicHook) AfterQuery(context.Context, *bun.QueryEvent) {}

// What panics under way is not counted for ever, with a connection free or not.
func TestPoolAfterPanic(t *testing.T) {
	t.Parallel()
	for _, full := range []int{0, 1} {
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{
			"auth": {URL: sqliteURL(t), MaxOpenConns: 1, Hooks: []bun.QueryHook{panicHook{}}},
		}})
		ctx, s := newSession(t, x)
		free := occupy(t, x.Engines()["auth"], full)
		for way, wait := range waits(s) {
			if way != "Select" {
				require.PanicsWithValue(t, "boom", func() { _ = wait(context.WithValue(ctx, panicHook{}, true)) }, way)
			}
		}
		free()
		requireIdle(t, x)
	}
}

// countingContext can be cancelled, and counts what waits for that.
type countingContext struct {
	context.Context
	done chan struct{}
	live *atomic.Int64
}

func (c countingContext) Done() <-chan struct{} { return c.done }

// AfterFunc is what package context calls to be told of the end.
func (c countingContext) AfterFunc(func()) (stop func() bool) {
	c.live.Add(1)
	return sync.OnceValue(func() bool { c.live.Add(-1); return true })
}

// A program that lives long may give all its statements one context: those
// that had to wait must leave nothing in it.
func TestPoolWaitLeavesContext(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t), MaxOpenConns: 1}}})
	ctx, s := newSession(t, x)
	ways := waits(s)
	ways["CreateAll"] = func(ctx context.Context) error { return x.CreateAll(ctx, "auth") }
	for way, wait := range ways {
		counting := countingContext{ctx, make(chan struct{}), new(atomic.Int64)}
		for range 5 {
			free := occupy(t, x.Engines()["auth"], 1)
			time.AfterFunc(5*time.Millisecond, free)
			require.NoError(t, wait(counting), way)
		}
		require.Eventually(t, func() bool {
			runtime.GC() // Rows take what they live on with them.
			return counting.live.Load() == 0
		}, 10*time.Second, time.Millisecond, way)
	}
}

// Many with little time, on a small pool, in all ways: whatever comes of each,
// none hangs and nothing is left.
func TestPoolStress(t *testing.T) {
	t.Parallel()
	onEachAuth(t, echobun.EngineOptions{MaxOpenConns: 4, PoolTimeout: 5 * time.Millisecond}, func(t *testing.T, _ string, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSession(t, x)
		ways := []func(context.Context) error{}
		for _, wait := range waits(s) {
			ways = append(ways, wait)
		}
		until := time.Now().Add(1500 * time.Millisecond)
		var running sync.WaitGroup
		var mu sync.Mutex // Protects counts.
		counts := map[string]int{}
		for range 64 {
			running.Go(func() {
				for time.Now().Before(until) {
					short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(40_000))*time.Microsecond) //nolint:gosec // No secret.
					err := ways[rand.IntN(len(ways))](short)                                                     //nolint:gosec // No secret.
					cancel()
					mu.Lock()
					counts[stressOutcome(err)]++
					mu.Unlock()
				}
			})
		}
		running.Wait()
		require.Positive(t, counts["ok"], "%v", counts)
		require.Positive(t, counts["pool timeout"], "%v", counts)
		for outcome := range counts {
			require.Contains(t, []string{"ok", "pool timeout", "deadline"}, outcome, "%v", counts)
		}
		requireIdle(t, x)
		_, err := s.Bind("auth").ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)
	})
}

// stressOutcome sorts what may come of a statement with little time.
func stressOutcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, echobun.ErrPoolTimeout):
		return "pool timeout"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrTxDone), errors.Is(err, echobun.ErrOutcomeUnknown):
		return "deadline"
	}
	return err.Error()
}

// While connections are free, a limit costs no timer and no allocation.
func TestPoolTimeoutIsFree(t *testing.T) { //nolint:paralleltest // It counts allocations.
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	ctx, s := newSession(t, x)
	idb, db := s.Bind(""), x.Engine()
	measure := func(conn bun.IConn) float64 {
		return testing.AllocsPerRun(200, func() {
			if _, err := conn.ExecContext(ctx, "SELECT 1"); err != nil {
				t.Error(err)
			}
		})
	}
	direct, session := measure(db), measure(idb)
	require.LessOrEqual(t, session, direct)
}
