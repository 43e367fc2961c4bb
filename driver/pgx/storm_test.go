package pgx_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

// TestDeadlineStorm has more to do than the deadlines allow, from a cold pool. Connections
// that are given up at each deadline would make that a state for good.
func TestDeadlineStorm(t *testing.T) { //nolint:paralleltest // It measures.
	s := dbtest.Postgres(t)
	setup := open(t, s.URL(), "")
	exec(t, setup, "CREATE TABLE points (id bigint PRIMARY KEY, name text)",
		"INSERT INTO points SELECT i, 'name ' || i FROM generate_series(1, 1000) AS i")
	for _, goroutines := range []int{8, 16, 8} {
		ok := storm(t, s, goroutines)
		t.Logf("%d of 12000 requests from %d goroutines succeeded", ok, goroutines)
		// A quiet machine serves nearly all, a busy one fewer; without the cure it is a few dozen.
		require.GreaterOrEqual(t, ok, 3000)
	}
}

func storm(t *testing.T, s *dbtest.Server, goroutines int) int {
	t.Helper()
	const requests = 12000
	db := open(t, s.URL(), "")
	defer db.Close()
	var next, ok atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= requests; i = next.Add(1) {
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Millisecond)
				var name string
				err := db.NewSelect().Table("points").Column("name").Where("id = ?", i%1000+1).Scan(ctx, &name)
				cancel()
				if err == nil {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(ok.Load())
}
