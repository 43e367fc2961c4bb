package echobun_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// Galera refuses XA: it takes part in two phases once, as the last resource.
func TestGaleraIsALastResource(t *testing.T) {
	t.Parallel()
	node := dbtest.StartGalera(t, 1)[0]
	x := newExtension(t, echobun.Config{
		DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"auth": {URL: node.URL()}, "meta": {URL: sqliteURL(t)}},
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	both := func(ctx context.Context, tx *echobun.Session) error {
		if _, err := tx.NewInsert().Model(&Debit{Name: "both"}).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&Credit{Name: "both"}).Exec(ctx)
		return err
	}
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, both))
	requireNamed(t, x, "both", 1, 1, 0)

	err := s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "all") })
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, `bind "auth"`)
	require.ErrorContains(t, err, `bind "meta"`)
	require.ErrorContains(t, err, "its server refuses XA, as Galera does")
	requireNamed(t, x, "all", 0, 0, 0)

	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Empty(t, report.InDoubt)
	requireAtRest(t, x)
}

// Two nodes of a cluster change one row. The one that comes second hears of it
// no sooner than at its next statement or at COMMIT, and is run again.
func TestGaleraConflictIsRetried(t *testing.T) {
	t.Parallel()
	nodes := dbtest.StartGalera(t, 2)
	session := func(node *dbtest.Server) *echobun.Session {
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: node.URL()}}}, (*Vault)(nil))
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		return s
	}
	here, there := session(nodes[0]), session(nodes[1])
	ctx := context.Background()
	_, err := here.NewInsert().Model(&Vault{ID: 1}).Exec(ctx)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // A node may be behind the other one.
		n, err := there.NewSelect().Model((*Vault)(nil)).Count(ctx)
		return err == nil && n == 1
	}, time.Minute, 10*time.Millisecond)
	deposit := func(ctx context.Context, s *echobun.Session) error {
		_, err := s.NewUpdate().Model((*Vault)(nil)).Set("balance = balance + 1").Where("id = 1").Exec(ctx)
		return err
	}
	for _, retries := range []int{0, 3} {
		// A node that is behind the other one would not be in the way of it.
		require.Eventually(t, func() bool { return balanceOf(ctx, t, there) == balanceOf(ctx, t, here) }, time.Minute, 10*time.Millisecond)
		before, attempts := balanceOf(ctx, t, here), 0
		err := there.RunInTx(ctx, &echobun.TxOptions{Retries: retries}, func(ctx context.Context, tx *echobun.Session) error {
			attempts++
			if err := deposit(ctx, tx); err != nil || attempts > 1 {
				return err
			}
			require.NoError(t, deposit(context.Background(), here))
			return nil
		})
		if retries == 0 {
			require.ErrorIs(t, err, echobun.ErrSerialization)
			require.Equal(t, before+1, balanceOf(ctx, t, here))
			continue
		}
		require.NoError(t, err)
		require.Greater(t, attempts, 1)
		require.Equal(t, before+2, balanceOf(ctx, t, there))
	}
}

func balanceOf(ctx context.Context, t *testing.T, s *echobun.Session) (n int64) {
	t.Helper()
	require.NoError(t, s.NewSelect().Model((*Vault)(nil)).Column("balance").Where("id = 1").Scan(ctx, &n))
	return n
}

// Each statement begins with the step of the node, which changes as others join
// the cluster or somebody sets it: keys are not counted.
func TestGaleraCountsNoKeys(t *testing.T) {
	t.Parallel()
	node := dbtest.StartGalera(t, 1)[0]
	x := newExtension(t, echobun.Config{DatabaseURI: node.URL()}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	first := insertCounted(ctx, t, db, "a", "b")
	_, err := x.Engine().ExecContext(ctx, "SET GLOBAL auto_increment_increment = 3")
	require.NoError(t, err)
	second := insertCounted(ctx, t, db, "c", "d")
	for _, row := range append(first, second...) {
		require.Zero(t, row.ID, row.Name)
	}
	require.Equal(t, keyOf(ctx, t, db, "c")+3, keyOf(ctx, t, db, "d"))
	told := []keyword{{Name: "e"}, {Name: "f"}}
	_, err = db.NewInsert().Model(&told).Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, keyOf(ctx, t, db, "f"), told[1].ID)
}
