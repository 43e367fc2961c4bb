package echobun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
)

// The log of a bind that comes first cannot be reached. Another bind decides,
// and the branch that is left prepared has to name a log that recovery finds.
func TestTwoPhaseNamesNoLogThatCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, marker := range map[string]string{"not made": "create table if not exists echobun_commits", "not read": "installation"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newCutBank(t)
			ctx, s := newSession(t, b.x)
			if name == "not read" { // But it is there.
				require.NoError(t, ran(b.sound.Engine().ExecContext(ctx, echobun.CommitLogDDL)))
			}
			b.proxies[""].ArmN(-1, cutproxy.DropRequest, marker)
			b.proxies["auth"].ArmN(-1, cutproxy.DropRequest, "xa commit")
			require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
				if err := transact(ctx, tx, nil, name); err != nil {
					return err
				}
				return ran(tx.Bind("meta").NewRaw("SELECT 1").Exec(ctx)) // It decides.
			}))
			require.Positive(t, b.proxies[""].Cuts())
			require.Len(t, b.prepared(t, "auth"), 1)
			b.proxies[""].Disarm()
			b.proxies["auth"].Disarm()

			report, err := b.x.RecoverPrepared(ctx)
			require.NoError(t, err)
			require.Equal(t, map[string]int{"auth": 1}, report.Committed)
			debits, credits := b.counts(t, name)
			require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
		})
	}
}

// The only bind that a branch could name has no log: nothing is prepared.
func TestTwoPhaseWithoutALogToName(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	require.NoError(t, ran(b.sound.Engines()["auth"].ExecContext(ctx, echobun.CommitLogDDL)))
	b.proxies["auth"].ArmN(-1, cutproxy.DropRequest, "installation")
	err := s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		if err := ran(tx.NewInsert().Model(&Credit{Name: "none"}).Exec(ctx)); err != nil {
			return err
		}
		return ran(tx.Bind("meta").NewRaw("SELECT 1").Exec(ctx))
	})
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, `bind "auth"`)
	require.ErrorContains(t, err, "echobun_commits")
	_, credits := b.counts(t, "none")
	require.Zero(t, credits)
	requireAtRest(t, b.x)
}

// The log that a branch has named is dropped and made anew meanwhile.
func TestTwoPhaseLogMadeAnew(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	err := s.RunInTx(ctx, inTwoPhases, func(_ context.Context, tx *echobun.Session) error {
		require.NoError(t, transact(ctx, tx, nil, "dropped"))
		require.NoError(t, ran(b.sound.Engine().ExecContext(ctx, "DROP TABLE echobun_commits")))
		_, beside := newSession(t, b.x)
		require.ErrorIs(t, transact(ctx, beside, inTwoPhases, "not recorded"), echobun.ErrTwoPhase)
		require.NoError(t, transact(ctx, beside, inTwoPhases, "made anew"))
		return nil
	})
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, "made anew")
	for name, want := range map[string]int{"dropped": 0, "not recorded": 0, "made anew": 1} {
		debits, credits := b.counts(t, name)
		require.Equal(t, [2]int{want, want}, [2]int{debits, credits}, name)
	}
	require.Empty(t, b.prepared(t, "auth"))
	requireAtRest(t, b.x)
}
