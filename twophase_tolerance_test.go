package echobun_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// A bind that could not begin, and whose failure was tolerated in a nested
// transaction, is neither the coordinator nor the last resource.
func TestTwoPhaseForgetsWhoCouldNotBegin(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t).URL(), dbtest.MariaDB(t).URL()
	gone, busy := "postgresql://nobody:x@127.0.0.1:1/none", sqliteURL(t)+"?busy_timeout=50"
	for name, binds := range map[string]echobun.Config{
		"out of reach": {DatabaseURI: pg, Binds: echobun.Binds{"auth": {URL: my}, "meta": {URL: gone}}},
		"busy":         {DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: my}, "meta": {URL: busy}}},
	} {
		x := newExtension(t, binds, txModels()...)
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx, "", "auth"))
		if name == "busy" {
			require.NoError(t, x.CreateAll(ctx, "meta"))
			holdFile(t, busy)
		}
		require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
			require.Error(t, tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				return ran(tx.NewInsert().Model(&Note{Name: name}).Exec(ctx))
			}))
			if err := ran(tx.NewInsert().Model(&Debit{Name: name}).Exec(ctx)); err != nil {
				return err
			}
			return ran(tx.NewInsert().Model(&Credit{Name: name}).Exec(ctx))
		}), name)
		for _, model := range []any{(*Debit)(nil), (*Credit)(nil)} {
			n, err := s.NewSelect().Model(model).Where("name = ?", name).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "%s %T", name, model)
		}
		requireAtRest(t, x)
	}
}

// Nor is its log named, though it could be kept before.
func TestTwoPhaseNamesNoneThatCouldNotBegin(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	require.NoError(t, transact(ctx, s, inTwoPhases, "warm"))
	b.proxies[""].ArmN(-1, cutproxy.DropRequest, "\x00") // All messages have one.
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		require.Error(t, tx.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.NewInsert().Model(&Debit{Name: "lost"}).Exec(ctx))
		}))
		if err := ran(tx.NewInsert().Model(&Credit{Name: "lost"}).Exec(ctx)); err != nil {
			return err
		}
		return ran(tx.Bind("meta").NewRaw("SELECT 1").Exec(ctx))
	}))
	debits, credits := b.counts(t, "lost")
	require.Equal(t, [2]int{0, 1}, [2]int{debits, credits})
}

// holdFile holds the write lock of a SQLite file until the test ends.
func holdFile(t *testing.T, url string) {
	t.Helper()
	db := newExtension(t, echobun.Config{DatabaseURI: url}).Engine()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	require.NoError(t, ran(tx.ExecContext(t.Context(), "DELETE FROM notes")))
	t.Cleanup(func() { _ = tx.Rollback() })
}

// A branch that has only read is rolled back by MariaDB when its connection is
// lost, and is in nobody's doubt.
func TestTwoPhaseReaderIsNotInDoubt(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	b.proxies["auth"].Arm(cutproxy.DropRequest, "xa commit")
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		if err := ran(tx.NewInsert().Model(&Debit{Name: "read"}).Exec(ctx)); err != nil {
			return err
		}
		_, err := tx.NewSelect().Model((*Credit)(nil)).Count(ctx)
		return err
	}))
	var decisions int
	require.NoError(t, b.sound.Engine().NewRaw("SELECT count(*) FROM echobun_commits WHERE decision = 'commit'").Scan(ctx, &decisions))
	require.Zero(t, decisions, "nobody needs the decision any more")
	for range 2 {
		report, err := b.sound.RecoverPrepared(ctx)
		require.NoError(t, err)
		require.Empty(t, report.InDoubt, "%v", report)
	}
	debits, _ := b.counts(t, "read")
	require.Equal(t, 1, debits)
	require.NotContains(t, b.log.String(), "in doubt")
}
