//go:build failpoint

package crashtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrashRollback kills the process at each step of a commit that is refused
// after all others have prepared.
func TestCrashRollback(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := variant{Binds: []string{"", "auth", "meta"}, Refused: true}
	steps := s.steps(t, v)
	requireSteps(t, steps, "decide", "roll back", "rolled back", "forget")

	kills := count(t, "CRASH_KILLS", 20)
	for _, at := range steps {
		committed, rolledBack := 0, 0
		for i := range kills {
			c, b := s.kill(t, v, at, 1+i%2)
			committed, rolledBack = committed+c, rolledBack+b
		}
		require.Zero(t, committed, "GRAVE: killed at %s, what was refused has been committed", at)
		logKills(t, at, kills, committed, rolledBack)
	}
}
