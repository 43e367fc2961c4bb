package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

var inTwoPhases = &echobun.TxOptions{TwoPhase: true, CommitTimeout: time.Second}

// statements are what an engine was sent, as Bun's hooks see it.
type statements struct {
	mu   sync.Mutex // Protects list.
	list []string
}

func (s *statements) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (s *statements) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, event.Query)
}

func (s *statements) contain(word string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, query := range s.list {
		if strings.Contains(query, word) {
			return true
		}
	}
	return false
}

// preparedOn returns what is prepared on a bind, by SQL.
func preparedOn(t *testing.T, x *echobun.Extension, key string) []string {
	t.Helper()
	db := x.Engines()[key]
	var ids []string
	if db.Dialect().Name().String() == "pg" {
		require.NoError(t, db.NewRaw("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()").Scan(t.Context(), &ids))
		return ids
	}
	rows, err := db.QueryContext(t.Context(), "XA RECOVER")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var (
			format, gtrid, bqual int
			id                   string
		)
		require.NoError(t, rows.Scan(&format, &gtrid, &bqual, &id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return ids
}

func TestTwoPhaseOfOneIsOrdinary(t *testing.T) {
	t.Parallel()
	seen := &statements{}
	cfg := threeDatabases(t)
	cfg.EngineOptions.Hooks = []bun.QueryHook{seen}
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	one := func(opts *echobun.TxOptions, models ...any) {
		require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			for _, model := range models {
				if _, err := tx.NewInsert().Model(model).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	one(inTwoPhases, &Debit{Name: "one"})
	require.False(t, seen.contain("echobun_commits"))
	one(inTwoPhases, &Debit{Name: "two"}, &Note{Name: "two"})
	one(inTwoPhases, &Note{Name: "three"}, &Debit{Name: "three"})
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true, ReadOnly: true}, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewSelect().Model((*Debit)(nil)).Count(ctx)
		require.NoError(t, err)
		_, err = tx.NewSelect().Model((*Credit)(nil)).Count(ctx)
		return err
	}))
	requireNamed(t, x, "three", 1, 0, 1)
	requireAtRest(t, x)
}

func TestTwoPhaseHasOneLastResource(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}, "meta": {URL: sqliteURL(t)}},
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	err := s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "x") })
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, `bind "meta"`)
	require.ErrorContains(t, err, `bind "auth"`)
	requireNamed(t, x, "x", 0, 0, 0)
	requireAtRest(t, x)
}

// PostgreSQL that keeps no prepared transactions is a last resource.
func TestTwoPhaseWithoutPreparedTransactions(t *testing.T) {
	t.Parallel()
	server := dbtest.StartPostgres(t)
	setUp := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
	_, err := setUp.Engine().ExecContext(t.Context(), "ALTER SYSTEM SET max_prepared_transactions = 0")
	require.NoError(t, err)
	server.Stop()
	server.Start()
	x := newExtension(t, echobun.Config{
		DatabaseURI: server.URL(), Binds: echobun.Binds{"auth": {URL: dbtest.MariaDB(t).URL()}, "meta": {URL: sqliteURL(t)}},
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
		if _, err := tx.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx)
		return err
	}))
	requireNamed(t, x, "x", 1, 1, 0)
	err = s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "y") })
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, "max_prepared_transactions")
	requireNamed(t, x, "y", 0, 0, 0)
}

// Without the right to make the table, an error says so before the first prepare.
func TestTwoPhaseWithoutRights(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	owner := newExtension(t, echobun.Config{DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URL()}}}, (*Debit)(nil), (*Credit)(nil))
	ctx, _ := newSession(t, owner)
	require.NoError(t, owner.CreateAll(ctx))
	role := "poor_" + pg.Database
	for _, query := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'secret'", "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO " + role,
	} {
		_, err := owner.Engine().ExecContext(ctx, query)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := owner.Engine().ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	poor := *pg
	poor.User, poor.Password = role, "secret"
	x := newExtension(t, echobun.Config{DatabaseURI: poor.URL(), Binds: echobun.Binds{"auth": {URL: my.URL()}}}, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	try := func(name string) error {
		return s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: name}).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewInsert().Model(&Credit{Name: name}).Exec(ctx)
			return err
		})
	}
	err := try("refused")
	require.ErrorIs(t, err, echobun.ErrTwoPhase)
	require.ErrorContains(t, err, "default bind")
	require.ErrorContains(t, err, "echobun_commits")
	require.Empty(t, preparedOn(t, x, ""))
	n, err := owner.Engine().NewSelect().Table("debits").Count(ctx)
	require.NoError(t, err)
	require.Zero(t, n)

	_, err = owner.Engine().ExecContext(ctx, echobun.CommitLogDDL)
	require.NoError(t, err)
	_, err = owner.Engine().ExecContext(ctx, "GRANT SELECT, INSERT, DELETE ON echobun_commits TO "+role)
	require.NoError(t, err)
	require.NoError(t, try("granted"))
}

func TestTwoPhaseTableIsMadeOnce(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	first := newExtension(t, cfg, txModels()...)
	ctx, _ := newSession(t, first)
	require.NoError(t, first.CreateAll(ctx))
	var all sync.WaitGroup
	for i := range 8 {
		x := newExtension(t, cfg, txModels()...)
		ctx, s := newSession(t, x)
		all.Go(func() {
			err := s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true, Retries: 20}, func(ctx context.Context, tx *echobun.Session) error {
				return insertAll(ctx, tx, "at once "+string(rune('a'+i)))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	requireNamed(t, first, "at once a", 1, 1, 1)
}

// A prepare that is refused rolls everything back.
func TestTwoPhasePrepareRefused(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for name, refused := range map[string]string{
		"temporary table":     "CREATE TEMPORARY TABLE temp_rows (id int)",
		"deferred constraint": "INSERT INTO orphans VALUES (1)",
	} {
		_, err := x.Engine().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS parents (id int PRIMARY KEY); "+
			"CREATE TABLE IF NOT EXISTS orphans (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
		require.NoError(t, err)
		err = s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error {
			if err := insertAll(ctx, tx, name); err != nil {
				return err
			}
			_, err := tx.NewRaw(refused).Exec(ctx)
			return err
		})
		var bindErr *echobun.BindError
		require.ErrorAs(t, err, &bindErr, name)
		require.Equal(t, []string{"", "PREPARE"}, []string{bindErr.Bind, bindErr.Op})
		require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
		requireNamed(t, x, name, 0, 0, 0)
		requireAtRest(t, x)
	}
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())
}

// What cannot be reached after the decision is left to recovery, and is no error.
func TestTwoPhaseLeavesTheUnreachable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bind, marker string
		order        []string
	}{
		"PostgreSQL": {"", "commit prepared", []string{"auth"}},
		"MariaDB":    {"auth", "xa commit", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newCutBank(t)
			ctx, s := newSession(t, b.x)
			opts := &echobun.TxOptions{TwoPhase: true, CommitTimeout: time.Second, Order: tc.order}
			require.NoError(t, transact(ctx, s, &echobun.TxOptions{TwoPhase: opts.TwoPhase, Order: opts.Order}, "warm"))
			b.proxies[tc.bind].ArmN(-1, cutproxy.DropRequest, tc.marker)
			committed := false
			require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				tx.AfterCommit(func(context.Context) { committed = true })
				if _, err := tx.NewInsert().Model(&Debit{Name: "left"}).Exec(ctx); err != nil {
					return err
				}
				_, err := tx.NewInsert().Model(&Credit{Name: "left"}).Exec(ctx)
				return err
			}))
			require.True(t, committed)
			require.Len(t, b.prepared(t, tc.bind), 1)
			report, err := b.sound.RecoverPrepared(ctx)
			require.NoError(t, err)
			require.Equal(t, map[string]int{tc.bind: 1}, report.Committed)
			debits, credits := b.counts(t, "left")
			require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
			requireAtRest(t, b.x)
		})
	}
}

// A serialization failure that comes with PREPARE is retried, and a deadlock
// inside XA is a serialization failure.
func TestTwoPhaseRetries(t *testing.T) {
	t.Parallel()
	x, ctx, s := newBank(t)
	for _, name := range []string{"a", "b"} {
		_, err := s.NewInsert().Model(&Credit{Name: name}).Exec(ctx)
		require.NoError(t, err)
	}
	var both, met sync.WaitGroup
	met.Add(2)
	errs, attempts := make([]error, 2), make([]int, 2)
	for i, names := range [][]string{{"a", "b"}, {"b", "a"}} {
		both.Go(func() {
			opts := &echobun.TxOptions{TwoPhase: true, Retries: 5, Isolation: sql.LevelRepeatableRead}
			errs[i] = s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				attempts[i]++
				if _, err := tx.NewInsert().Model(&Debit{Name: "note " + names[0]}).Exec(ctx); err != nil {
					return err
				}
				for j, name := range names {
					if _, err := tx.NewUpdate().Model((*Credit)(nil)).Set("name = name").Where("name = ?", name).Exec(ctx); err != nil {
						return err
					}
					if j == 0 && attempts[i] == 1 {
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
		})
	}
	both.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Greater(t, attempts[0]+attempts[1], 2)
	requireAtRest(t, x)
}

// A connection is lost before its part is committed, and the server does not
// know of that at once: the decision has to stay until the part is done.
func TestTwoPhaseKeepsTheDecision(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	opts := &echobun.TxOptions{TwoPhase: true, CommitTimeout: time.Second}
	require.NoError(t, transact(ctx, s, &echobun.TxOptions{TwoPhase: opts.TwoPhase, Order: opts.Order}, "warm"))
	for i := range 30 {
		name := "kept " + string(rune('A'+i))
		b.proxies["auth"].Arm(cutproxy.DropRequest, "xa commit")
		require.NoError(t, transact(ctx, s, opts, name))
		require.Eventually(t, func() bool {
			report, err := b.sound.RecoverPrepared(ctx)
			return err == nil && len(report.InDoubt) == 0
		}, 10*time.Second, time.Millisecond)
		debits, credits := b.counts(t, name)
		require.Equal(t, [2]int{1, 1}, [2]int{debits, credits}, name)
	}
}

// The log of decisions has connections of its own: transactions that hold all
// those of the pools do not wait for each other.
func TestTwoPhaseOnFullPools(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.Defaults.MaxOpenConns = 1
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			opts := &echobun.TxOptions{TwoPhase: true, CommitTimeout: 20 * time.Second}
			err := s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
				return insertAll(ctx, tx, fmt.Sprint("row", i)) // MariaDB is named before SQLite becomes the coordinator.
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	requireAtRest(t, x)
	for i := range 8 {
		requireNamed(t, x, fmt.Sprint("row", i), 1, 1, 1)
	}
}
