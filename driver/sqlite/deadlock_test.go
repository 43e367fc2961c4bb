package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver/sqlite"
)

// TestQueueOfOneGateIsNoCircle has a unit wait twice at one gate, with another
// one in between. The later of its goroutines waits for the earlier one, which
// waits for neither.
func TestQueueOfOneGateIsNoCircle(t *testing.T) {
	t.Parallel()
	g := sqlite.GateOf(t.Name())
	require.NoError(t, sqlite.Pass(t.Context(), g, "holder"))
	through := make(chan error, 3)
	for i, unit := range []string{"twice", "between", "twice"} {
		go func() { through <- sqlite.Pass(t.Context(), g, unit) }()
		require.Eventually(t, func() bool { return sqlite.Waiting(g) == i+1 || len(through) > 0 }, 5*time.Second, time.Millisecond)
	}
	for range cap(through) {
		sqlite.Leave(g)
		require.NoError(t, <-through)
	}
	sqlite.Leave(g)
}

// TestSearchForCirclesIsShort has a thousand units wait at a gate, behind the last
// of which one waits at another.
func TestSearchForCirclesIsShort(t *testing.T) {
	t.Parallel()
	const units = 1000
	g, other := sqlite.GateOf(t.Name()), sqlite.GateOf(t.Name()+" other")
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, sqlite.Pass(ctx, g, "holder"))
	last := units - 1
	require.NoError(t, sqlite.Pass(ctx, other, last))
	through := make(chan error, units)
	for i := range units {
		go func() { through <- sqlite.Pass(ctx, g, i) }()
		require.Eventually(t, func() bool { return sqlite.Waiting(g) == i+1 }, 5*time.Second, 10*time.Microsecond)
	}
	least := time.Hour
	for range 10 {
		now, stop := context.WithCancel(ctx)
		stop()
		start := time.Now()
		require.ErrorIs(t, sqlite.Pass(now, other, "behind"), context.Canceled)
		least = min(least, time.Since(start))
	}
	t.Logf("a search takes %v", least)
	cancel()
	for range units {
		require.ErrorIs(t, <-through, context.Canceled)
	}
	sqlite.Leave(g)
	sqlite.Leave(other)
	require.Less(t, least, 10*time.Millisecond)
}
