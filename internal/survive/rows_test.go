package survive_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// manyRows are more than any buffer on the way holds.
var manyRows = map[string]string{
	"PostgreSQL": "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)",
	"MariaDB":    "SELECT repeat('x', 1000) FROM seq_1_to_1000000",
}

// TestLostAmidRows loses a server while its rows are read. The error says so,
// in time.
func TestLostAmidRows(t *testing.T) { //nolint:paralleltest // It looks for goroutines that are left.
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		noLeaks(t)
		server := k.fresh(t)
		p := newToxic(t, server.Addr())
		x := openExtension(t, echobun.Config{DatabaseURI: server.URLVia(p.Listen)})
		appCtx, end := x.AppContext(t.Context())
		defer end()
		s, err := x.Session(appCtx)
		require.NoError(t, err)
		limit := pick(2*time.Second, time.Second)
		ctx, cancel := context.WithTimeout(appCtx, limit)
		defer cancel()
		start := time.Now()
		rows, err := s.Bind("").QueryContext(ctx, manyRows[k.name])
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		outages["black hole"](t, p)
		for rows.Next() {
			require.Less(t, time.Since(start), time.Minute)
		}
		require.Less(t, time.Since(start), limit+grace())
		require.ErrorIs(t, rows.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, rows.Err(), echobun.ErrUnavailable)
		requireNamed(t, rows.Err(), "")
		require.NoError(t, rows.Close())
		requireAtRest(t, x)
	})
}
