//go:build failpoint

package crashtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCrashRecovery kills the recovery, too, at each of its steps: of what was
// decided when the process died, and of what was not.
func TestCrashRecovery(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := variant{Binds: []string{"", "auth", "meta"}}
	kills := count(t, "CRASH_KILLS", 20)
	for died, names := range map[string][]string{
		"decided#1": {"settle", "settled", "remove", "removed"},
		"decide#1":  {"claimed", "settle", "settled", "remove", "removed"},
	} {
		steps := s.recoverySteps(t, v, died)
		requireSteps(t, steps, names...)
		for _, at := range steps {
			committed, rolledBack := 0, 0
			for i := range kills {
				prefix, acked := s.killed(t, v, died)
				r, _ := s.start(t, orders{Variant: v, Step: at, Recover: true})
				r.requireKilled(t, at)
				c, b := s.recovered(t, v, prefix, acked, 1+i%2)
				committed, rolledBack = committed+c, rolledBack+b
			}
			logKills(t, died+" "+at, kills, committed, rolledBack)
		}
	}
}

// recoverySteps lists the steps of the recovery of a process that died at a step.
func (s *site) recoverySteps(t *testing.T, v variant, died string) []string {
	t.Helper()
	prefix, acked := s.killed(t, v, died)
	r, _ := s.start(t, orders{Variant: v, Steps: true, Recover: true})
	r.wait()
	require.Zero(t, r.cmd.ProcessState.ExitCode(), r.lines)
	s.recovered(t, v, prefix, acked, 1)
	return r.heard("step")
}

// killed kills a child at a step, and returns the prefix of its rows and what
// it was acknowledged.
func (s *site) killed(t *testing.T, v variant, at string) (prefix string, acked []string) {
	t.Helper()
	r, prefix := s.start(t, orders{Variant: v, Step: at, Nth: 1})
	r.requireKilled(t, at)
	return prefix, r.heard("ack")
}
