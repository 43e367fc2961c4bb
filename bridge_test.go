package echobun_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

// watchHook is a hook as those of this repository's other modules are.
type watchHook struct {
	mu  sync.Mutex
	txs map[string]any // By statement.
}

func (h *watchHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	return bridge.Watch(ctx, event)
}

func (h *watchHook) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	st := bridge.StatementOf(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if notes := st.Notes(); notes != nil && event.Query == "BEGIN" {
		notes.Set(h, "begun")
	} else if notes != nil && notes.Get(h) != "begun" {
		panic("a transaction has lost its notes")
	}
	h.txs[event.Query] = st.Tx
}

func (h *watchHook) take() map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	txs := h.txs
	h.txs = make(map[string]any)
	return txs
}

// TestWatchedTransaction: hooks know which transaction a statement belongs to.
func TestWatchedTransaction(t *testing.T) {
	t.Parallel()
	first, second := &watchHook{txs: make(map[string]any)}, &watchHook{txs: make(map[string]any)}
	x := newExtension(t, echobun.Config{
		DatabaseURI:   sqliteURL(t),
		EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{first, second}},
	})
	ctx, db := newSession(t, x)

	_, err := db.Bind("").ExecContext(ctx, "SELECT 1")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"SELECT 1": nil}, first.take())

	sentinel := errors.New("no")
	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewRaw("SELECT 2").Exec(ctx)
		require.NoError(t, err)
		err = tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			_, err := tx.NewRaw("SELECT 3").Exec(ctx)
			require.NoError(t, err)
			return sentinel
		})
		require.ErrorIs(t, err, sentinel)
		return nil
	}))
	txs := first.take()
	require.Len(t, txs, 7, "BEGIN, two statements, three of the savepoint, COMMIT")
	for query, tx := range txs {
		require.NotNil(t, tx, query)
		require.Same(t, txs["BEGIN"], tx, query)
	}
	before := txs["BEGIN"]

	require.NoError(t, db.Bind("").RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "SELECT 4")
		return err
	}))
	txs = first.take()
	require.Len(t, txs, 3)
	for query, tx := range txs {
		require.NotNil(t, tx, query)
		require.Same(t, txs["BEGIN"], tx, query)
		require.NotSame(t, before, tx, query)
	}
	require.Len(t, second.take(), 9, "all see all")
}

// TestPoolCounts: what waits and what waited in vain is counted.
func TestPoolCounts(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI:   sqliteURL(t),
		EngineOptions: echobun.EngineOptions{MaxOpenConns: 2, MaxIdleConns: 1, PoolTimeout: 50 * time.Millisecond},
		Binds:         echobun.Binds{"wide": {URL: sqliteURL(t), MaxOpenConns: -1, PoolTimeout: -1}},
	})
	wide, known := bridge.PoolOf(x, "wide")
	require.True(t, known)
	require.Equal(t, bridge.Pool{}, wide)
	_, known = bridge.PoolOf(x, "no such bind")
	require.False(t, known)

	ctx, db := newSession(t, x)
	for range 2 {
		conn, err := x.Engine().DB.Conn(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			_, err := db.Bind("").ExecContext(ctx, "SELECT 1")
			if !errors.Is(err, echobun.ErrPoolTimeout) {
				t.Error(err)
			}
		})
	}
	waiting.Go(func() { // Leaves before the limit, for a reason of its own.
		ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err := db.Bind("").ExecContext(ctx, "SELECT 1")
		if err == nil {
			t.Error("no error")
		}
	})
	seen := int64(0)
	for range 1000 {
		pool, _ := bridge.PoolOf(x, "")
		if seen = max(seen, pool.Pending); pool.Timeouts == 4 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	waiting.Wait()
	require.Positive(t, seen)
	pool, _ := bridge.PoolOf(x, "")
	require.Equal(t, bridge.Pool{MaxIdle: 1, Timeouts: 4}, pool)
}

// TestPoolCountsThoseServed: who has waited and got a connection waits no more.
func TestPoolCountsThoseServed(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}})
	ctx, db := newSession(t, x)
	held, err := x.Engine().DB.Conn(ctx)
	require.NoError(t, err)
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if _, err := db.Bind("").ExecContext(ctx, "SELECT 1"); err != nil {
				t.Error(err)
			}
		})
	}
	pending := func() int64 {
		pool, _ := bridge.PoolOf(x, "")
		return pool.Pending
	}
	require.Eventually(t, func() bool { return pending() == 3 }, 10*time.Second, time.Millisecond)
	require.NoError(t, held.Close())
	waiting.Wait()
	require.Zero(t, pending())
}
