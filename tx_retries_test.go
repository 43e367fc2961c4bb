package echobun_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// skew reads one row and updates another one.
func skew(ctx context.Context, tx *echobun.Session, read, write string) error {
	if _, err := tx.NewSelect().Model((*Debit)(nil)).Where("name = ?", read).Count(ctx); err != nil {
		return err
	}
	_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = name").Where("name = ?", write).Exec(ctx)
	return err
}

// Of two transactions that skew each other, PostgreSQL refuses the COMMIT of
// the later one: it is repeated, or, without retries, a plain error.
func TestTxRetriesRefusedCommits(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for _, name := range []string{"a", "b"} {
		_, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
		require.NoError(t, err)
	}
	serializable := &echobun.TxOptions{Isolation: sql.LevelSerializable}
	for _, retries := range []int{0, 3} {
		attempts, hooks := 0, 0
		name := fmt.Sprint("with ", retries)
		opts := &echobun.TxOptions{Isolation: sql.LevelSerializable, Retries: retries}
		err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			attempts++
			tx.AfterCommit(func(context.Context) { hooks++ })
			require.NoError(t, skew(ctx, tx, "a", "b"))
			require.NoError(t, insertAll(ctx, tx, name))
			if attempts > 1 {
				return nil
			}
			other, end := x.AppContext(context.WithoutCancel(ctx))
			defer end()
			os, err := x.Session(other)
			require.NoError(t, err)
			require.NoError(t, os.RunInTx(other, serializable, func(ctx context.Context, tx *echobun.Session) error {
				return skew(ctx, tx, "b", "a")
			}))
			return nil
		})
		requireAtRest(t, x)
		if retries == 0 {
			var refused *echobun.BindError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "COMMIT", refused.Op, "no statement failed before")
			require.ErrorIs(t, err, echobun.ErrSerialization)
			require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
			requireNamed(t, x, name, 0, 0, 0)
			require.Equal(t, [2]int{1, 0}, [2]int{attempts, hooks})
			continue
		}
		require.NoError(t, err)
		requireNamed(t, x, name, 1, 1, 1)
		require.Equal(t, [2]int{2, 1}, [2]int{attempts, hooks})
	}
}

// Galera refuses a COMMIT by 1213: as a first commit it is repeated, as many
// times as was asked for; as a later one never, for the first has been done.
func TestTxRetriesGaleraCommits(t *testing.T) {
	t.Parallel()
	b := newFaultyBank(t, threeDatabases(t), nil)
	ctx, s := newSession(t, b.faulty)
	deadlock := &mysql.MySQLError{Number: 1213, SQLState: [5]byte{'4', '0', '0', '0', '1'}, Message: "Deadlock found"}
	for name, tc := range map[string]struct {
		order             []string
		refused, attempts int
	}{
		"first":     {[]string{"auth"}, 2, 3},
		"too often": {[]string{"auth"}, 100, 4},
		"later":     {[]string{""}, 1, 1},
	} {
		b.plan.refuse("auth COMMIT", tc.refused, deadlock)
		attempts, hooks := 0, 0
		err := s.RunInTx(ctx, &echobun.TxOptions{Order: tc.order, Retries: 3}, func(ctx context.Context, tx *echobun.Session) error {
			attempts++
			tx.AfterCommit(func(context.Context) { hooks++ })
			return insertAll(ctx, tx, name)
		})
		b.plan.set(0, false, false)
		requireAtRest(t, b.faulty)
		require.Equal(t, tc.attempts, attempts, name)
		var partial *echobun.CommitError
		switch name {
		case "first":
			require.NoError(t, err)
			require.Len(t, b.rows(t, name), 3)
			require.Equal(t, 1, hooks)
			continue
		case "too often":
			require.NotErrorAs(t, err, &partial)
			require.Empty(t, b.rows(t, name))
		case "later":
			require.ErrorAs(t, err, &partial)
			require.Equal(t, []string{""}, partial.Committed)
			require.Equal(t, []string{"auth"}, partial.Failed)
			require.Equal(t, []string{"meta"}, partial.RolledBack)
			require.Equal(t, []string{""}, b.rows(t, name))
		}
		require.ErrorIs(t, err, echobun.ErrSerialization)
		require.ErrorContains(t, err, `bind "auth"`)
		require.Zero(t, hooks)
	}
}
