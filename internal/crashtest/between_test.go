//go:build failpoint

package crashtest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCrashAfterRecoveryBetweenPrepares has a recovery find the first branch
// prepared before the second one is. It learns of the commit while it waits
// for it, and must not take the decision away: the second branch is not among
// what it has listed, and the process dies before it is committed.
func TestCrashAfterRecoveryBetweenPrepares(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, v := range variants {
		if len(v.Binds) < 3 {
			continue
		}
		r, prefix := s.start(t, orders{Variant: v, Pauses: []string{"prepared#1", "finish#2"}, Step: "finish#2"})
		require.Eventually(t, func() bool { return slices.Contains(r.heard("pause"), "prepared#1") }, 20*time.Second, time.Millisecond)
		x := s.open(t)
		_, err := x.RecoverPrepared(t.Context())
		require.NoError(t, err)
		require.NoError(t, x.Close())
		r.wait()
		s.recovered(t, v, prefix, r.heard("ack"), 1)
	}
}
