package echobun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

func TestTwoPhase(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{
		"first use":       nil,
		"MariaDB first":   {"auth"},
		"PostgreSQL last": {"meta", "auth", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, ctx, s := newBank(t)
			opts := &echobun.TxOptions{TwoPhase: true, Order: order}
			require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				return insertAll(ctx, tx, "kept")
			}))
			requireAtRest(t, x)
			requireNamed(t, x, "kept", 1, 1, 1)

			require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewInsert().Model(&Credit{Name: "two"}).Exec(ctx); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&Debit{Name: "two"}).Exec(ctx)
				return err
			}))
			requireNamed(t, x, "two", 1, 1, 0)

			require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				_, err := tx.NewInsert().Model(&Credit{Name: "one"}).Exec(ctx)
				return err
			}))
			requireNamed(t, x, "one", 0, 1, 0)

			report, err := x.RecoverPrepared(ctx)
			require.NoError(t, err)
			require.Equal(t, "recovered: nothing", report.String())
			for key := range x.Engines() {
				var n int
				require.NoError(t, s.Bind(key).NewRaw("SELECT count(*) FROM echobun_commits WHERE id <> 'installation'").Scan(ctx, &n))
				require.Zero(t, n)
			}
			requireAtRest(t, x)
		})
	}
}
