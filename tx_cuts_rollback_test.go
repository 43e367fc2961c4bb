package echobun_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
)

// TestCutRollbackPrepared cuts a connection when what was prepared on it is
// rolled back, since the bind that decides has refused to commit.
func TestCutRollbackPrepared(t *testing.T) {
	t.Parallel()
	for _, cell := range []struct{ bind, marker string }{{"", "rollback prepared"}, {"auth", "xa rollback"}} {
		for mode, m := range map[string]cutproxy.Mode{"request": cutproxy.DropRequest, "reply": cutproxy.DropReply, "hang": cutproxy.HangReply} {
			t.Run(fmt.Sprintf("%s %s", cell.marker, mode), func(t *testing.T) {
				t.Parallel()
				b := newCutBank(t)
				ctx, s := newSession(t, b.x)
				opts := &echobun.TxOptions{CommitTimeout: cutLimit, TwoPhase: true}
				require.ErrorIs(t, transactInVain(ctx, s, &echobun.TxOptions{TwoPhase: true}, "warm"), echobun.ErrForeignKey)
				for i := range times(3, 200) {
					name := fmt.Sprint("cut", i)
					connect(ctx, t, s)
					b.proxies[cell.bind].Arm(m, cell.marker)
					start := time.Now()
					err := transactInVain(ctx, s, opts, name)
					requireInTime(t, time.Since(start), cutLimit, err)
					b.proxies[cell.bind].Disarm()
					require.ErrorIs(t, err, echobun.ErrForeignKey)
					require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown, "nothing was decided")
					requireAtRest(t, b.x)
					b.recover(t, b.x) // It has the bind that decides.
					debits, credits := b.counts(t, name)
					require.Equal(t, [2]int{}, [2]int{debits, credits}, "GRAVE: %v", err)
				}
				require.Positive(t, b.proxies[cell.bind].Cuts())
			})
		}
	}
}

// transactInVain inserts a row on both binds, and on SQLite, which decides, an
// orphan that it refuses to commit.
func transactInVain(ctx context.Context, s *echobun.Session, opts *echobun.TxOptions, name string) error {
	return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		if err := transact(ctx, tx, nil, name); err != nil {
			return err
		}
		_, err := tx.Bind("meta").NewRaw("INSERT INTO orphans VALUES (1)").Exec(ctx)
		return err
	})
}
