package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
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

// Two transactions lock two rows in opposite orders: one is the victim, and
// its earlier rows are gone, so it must not go on.
func TestTxDeadlock(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*Debit)(nil)}, func(t *testing.T, x *echobun.Extension) {
		if x.Engine().Dialect().Name().String() == "sqlite" {
			return // It has one writer.
		}
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for _, name := range []string{"a", "b"} {
			_, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
			require.NoError(t, err)
		}
		for _, retries := range []int{0, 5} {
			errs, attempts := deadlock(ctx, s, retries)
			if retries > 0 {
				require.NoError(t, errors.Join(errs...))
				require.Greater(t, attempts, 2)
				continue
			}
			failed := 0
			for _, err := range errs {
				if err != nil {
					failed++
					require.ErrorIs(t, err, echobun.ErrTxDoomed)
					require.ErrorIs(t, err, echobun.ErrSerialization)
				}
			}
			require.Equal(t, 1, failed)
		}
		requireAtRest(t, x)
	})
}

// deadlock runs two transactions that deadlock in their first attempt. Each
// swallows its failure.
func deadlock(ctx context.Context, s *echobun.Session, retries int) (errs []error, attempts int) {
	var (
		both sync.WaitGroup
		met  sync.WaitGroup
		mu   sync.Mutex
	)
	met.Add(2)
	errs = make([]error, 2)
	for i, names := range [][]string{{"a", "b"}, {"b", "a"}} {
		both.Go(func() {
			first := true
			errs[i] = s.RunInTx(ctx, &echobun.TxOptions{Retries: retries}, func(ctx context.Context, tx *echobun.Session) error {
				mu.Lock()
				attempts++
				mu.Unlock()
				for j, name := range names {
					_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = name").Where("name = ?", name).Exec(ctx)
					if err != nil {
						return nil //nolint:nilerr // A function that swallows the failure is what is tested.
					}
					if j == 0 && first {
						first = false
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
		})
	}
	both.Wait()
	return errs, attempts
}

// A serialization failure that comes with COMMIT is retried too; one that the
// function hides behind an error of its own also.
func TestTxRetries(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for _, name := range []string{"a", "b"} {
		_, err := s.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
		require.NoError(t, err)
	}
	attempts, hooks := 0, 0
	opts := &echobun.TxOptions{Isolation: sql.LevelSerializable, Retries: 3}
	err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
		attempts++
		tx.AfterCommit(func(context.Context) { hooks++ })
		if _, err := tx.NewSelect().Model((*Debit)(nil)).Where("name = 'a'").Count(ctx); err != nil {
			return err
		}
		if attempts == 1 { // Write skew: another one reads b and writes a.
			other, end := x.AppContext(context.WithoutCancel(ctx))
			defer end()
			os, err := x.Session(other)
			require.NoError(t, err)
			require.NoError(t, os.RunInTx(other, &echobun.TxOptions{Isolation: sql.LevelSerializable}, func(ctx context.Context, tx *echobun.Session) error {
				if _, err := tx.NewSelect().Model((*Debit)(nil)).Where("name = 'b'").Count(ctx); err != nil {
					return err
				}
				_, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = 'A'").Where("name = 'a'").Exec(ctx)
				return err
			}))
		}
		if _, err := tx.NewUpdate().Model((*Debit)(nil)).Set("name = 'B'").Where("name = 'b'").Exec(ctx); err != nil {
			return errors.New("hidden")
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, attempts)
	require.Equal(t, 1, hooks, "those of the attempt that failed are dropped")

	attempts = 0
	err = s.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(context.Context, *echobun.Session) error { attempts++; return errOfFn })
	require.Same(t, errOfFn, err)
	require.Equal(t, 1, attempts)

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	start, attempts := time.Now(), 0
	err = s.RunInTx(short, &echobun.TxOptions{Retries: 1000}, func(context.Context, *echobun.Session) error {
		attempts++
		return fmt.Errorf("again: %w", echobun.ErrSerialization)
	})
	require.ErrorIs(t, err, echobun.ErrSerialization)
	require.Less(t, time.Since(start), time.Second)
	require.Greater(t, attempts, 2)

	for _, never := range []error{
		&echobun.CommitError{Err: echobun.ErrSerialization}, errors.Join(echobun.ErrSerialization, echobun.ErrOutcomeUnknown),
	} {
		attempts = 0
		require.Error(t, s.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(context.Context, *echobun.Session) error { attempts++; return never }))
		require.Equal(t, 1, attempts)
	}
}

func TestTxRetriesSQLiteBusy(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	x := newExtension(t, echobun.Config{DatabaseURI: url + "?busy_timeout=20", Binds: echobun.Binds{"auth": {URL: url}}}, (*Debit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	lock, err := s.Bind("auth").BeginTx(ctx, nil)
	require.NoError(t, err)
	attempts := 0
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{Retries: 5}, func(ctx context.Context, tx *echobun.Session) error {
		if attempts++; attempts == 3 {
			require.NoError(t, lock.Rollback())
		}
		_, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx)
		return err
	}))
	require.Equal(t, 3, attempts)
}

// TestTxRetriesLockWait has MariaDB give up a wait for a lock, after which it
// keeps what the transaction did before: nothing of that may stay.
func TestTxRetriesLockWait(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.MariaDB(t).URL()}, (*Debit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, err := s.NewInsert().Model(&Debit{Name: "locked"}).Exec(ctx)
	require.NoError(t, err)
	lock, err := x.Engine().BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = lock.NewUpdate().Model((*Debit)(nil)).Set("name = 'kept'").Where("name = 'locked'").Exec(ctx)
	require.NoError(t, err)
	attempts := 0
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{Retries: 5}, func(ctx context.Context, tx *echobun.Session) error {
		if attempts++; attempts == 3 {
			require.NoError(t, lock.Commit())
		}
		if _, err := tx.NewInsert().Model(&Debit{Name: "once"}).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewRaw("SELECT name FROM debits WHERE id = 1 FOR UPDATE NOWAIT").Exec(ctx)
		if attempts < 3 {
			require.ErrorIs(t, err, echobun.ErrSerialization)
			require.ErrorContains(t, err, "1205")
		}
		return err
	}))
	require.Equal(t, 3, attempts)
	n, err := s.NewSelect().Model((*Debit)(nil)).Where("name = 'once'").Count(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	requireAtRest(t, x)
}

// A time limit that the server keeps by itself is nothing that a repetition
// cures, whatever was cancelled on the connection just before.
func TestTxServersOwnTimeLimitIsNotRepeated(t *testing.T) {
	t.Parallel()
	for kind, limit := range map[string][2]string{
		"PostgreSQL": {"SET statement_timeout = '300ms'", "SELECT pg_sleep(5)"},
		"MariaDB":    {"SET max_statement_time = 0.3", "UPDATE slow SET n = SLEEP(5)"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{
				URL: databases[kind](t), MaxOpenConns: 1, OnConnect: []string{limit[0]},
			}})
			ctx, db := newSession(t, x)
			require.NoError(t, ran(db.NewRaw("CREATE TABLE slow (n int)").Exec(ctx)))
			require.NoError(t, ran(db.NewRaw("INSERT INTO slow VALUES (1)").Exec(ctx)))
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, ran(db.NewRaw(limit[1]).Exec(short)), context.DeadlineExceeded)
			runs := 0
			err := db.RunInTx(ctx, &echobun.TxOptions{Retries: 3}, func(ctx context.Context, tx *echobun.Session) error {
				runs++
				return ran(tx.NewRaw(limit[1]).Exec(ctx))
			})
			require.Error(t, err)
			require.NotErrorIs(t, err, echobun.ErrSerialization)
			require.Equal(t, 1, runs)
			requireAtRest(t, x)
		})
	}
}
