//go:build failpoint

package crashtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestCrashBesideAWrongClock has recoveries look at a transaction that has left
// word of where its decision will be, and has prepared nothing yet. By the
// clock of who wrote that, it did so hours ago, or will do so in hours. The
// process dies once it has decided: the word must still be there.
func TestCrashBesideAWrongClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tried := 0
	for _, v := range variants {
		if !slices.Contains(s.steps(t, v), "pointed#1") {
			continue // It leaves no word.
		}
		tried++
		r, prefix := s.start(t, orders{Variant: v, Pauses: []string{"pointed#1"}, Step: "decided#1"})
		require.Eventually(t, func() bool { return slices.Contains(r.heard("pause"), "pointed#1") }, 20*time.Second, time.Millisecond)
		x := s.open(t)
		for _, hours := range []int{-50, 100} {
			for _, db := range x.Engines() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // SQLite may be written to.
				_, _ = db.NewUpdate().Table("echobun_commits").Set("decided_at = decided_at + ?", hours*3600).Where("id <> 'installation'").Exec(ctx)
				cancel()
			}
			for range 2 {
				recoverShortly(t, x)
			}
		}
		r.requireKilled(t, "decided#1")
		s.recovered(t, v, prefix, r.heard("ack"), 1)
		for range 2 { // The second forgets what the first one saw.
			_, err := x.RecoverPrepared(t.Context())
			require.NoError(t, err)
		}
		for key, db := range x.Engines() {
			n, err := db.NewSelect().Table("echobun_commits").Where("id <> 'installation'").Count(t.Context())
			require.NoError(t, err)
			require.Zero(t, n, "%s: log of %q", v, key)
		}
		require.NoError(t, x.Close())
	}
	require.Greater(t, tried, 1)
}

// recoverShortly recovers for less time than the child pauses.
func recoverShortly(t *testing.T, x *echobun.Extension) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, _ = x.RecoverPrepared(ctx)
}
