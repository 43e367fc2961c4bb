package echobun_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
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
	require.False(t, seen.contain("INSERT INTO echobun_commits (id, decision, binds, decided_at) VALUES ('"+cfg.AppName+"/"))
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
			require.Len(t, preparedOn(t, b.sound, tc.bind), 1)
			report, err := b.sound.RecoverPrepared(ctx)
			require.NoError(t, err)
			require.Equal(t, map[string]int{tc.bind: 1}, report.Committed)
			debits, credits := b.counts(t, "left")
			require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
			requireAtRest(t, b.x)
		})
	}
}

// prepareByHand prepares a transaction with a row in debits, under any ID.
func prepareByHand(t *testing.T, x *echobun.Extension, id, name string) {
	t.Helper()
	conn, err := x.Engine().Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, query := range []string{"BEGIN", "INSERT INTO debits (name) VALUES ('" + name + "')", "PREPARE TRANSACTION '" + id + "'"} {
		_, err := conn.ExecContext(t.Context(), query)
		require.NoError(t, err)
	}
}

func TestRecoverLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := threeDatabases(t)
	cfg.AppName, cfg.Logger = "mine", slog.New(slog.NewTextHandler(&out, nil))
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "x") }))
	home := x.LogHome("")

	left := []string{"by hand", "echobun/other/tx1/" + home + "/~", "echobun/mine/tx2/gone@12345678/~", "echobun/mine/tx3/~@12345678/~", "echobun/mine/tx4/" + home + "/elsewhere", "echobun/mine/t''x/" + home + "/~"}
	for i, id := range left {
		prepareByHand(t, x, id, "left "+string(rune('a'+i)))
	}
	t.Cleanup(func() {
		for _, id := range left {
			_, err := x.Engine().ExecContext(context.Background(), "ROLLBACK PREPARED '"+strings.ReplaceAll(id, "'", "''")+"'")
			require.NoError(t, err)
		}
	})
	prepareByHand(t, x, "echobun/mine/tx5/"+home+"/~", "undecided")
	prepareByHand(t, x, "echobun/mine/tx6/"+home+"/~", "decided")
	prepareByHand(t, x, "echobun/mine/tx7/"+x.LogHome("auth")+"/~", "pointed")
	for key, row := range map[string]string{"": "'mine/tx6', 'commit', '~', 0", "auth": "'mine/tx7', 'see " + home + "', '~', 0"} {
		_, err := x.Engines()[key].ExecContext(ctx, "INSERT INTO echobun_commits VALUES ("+row+")")
		require.NoError(t, err)
	}
	_, err := x.Engine().ExecContext(ctx, "INSERT INTO echobun_commits VALUES ('mine/tx7', 'commit', '~', 0)")
	require.NoError(t, err)

	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"": 2}, report.Committed)
	require.Equal(t, map[string]int{"": 1}, report.RolledBack)
	require.Equal(t, map[string]int{"": 2}, report.InDoubt)
	require.Equal(t, "recovered: default bind: 2 committed, 1 rolled back, 2 in doubt", report.String())
	require.Contains(t, out.String(), "gone@12345678")
	for i := range left {
		left[i] = strings.ReplaceAll(left[i], "''", "'")
	}
	require.ElementsMatch(t, left, preparedOn(t, x, ""))
	requireNamed(t, x, "decided", 1, 0, 0)
	requireNamed(t, x, "pointed", 1, 0, 0)
	requireNamed(t, x, "undecided", 0, 0, 0)
	for key := range x.Engines() {
		var rows []string
		require.NoError(t, s.Bind(key).NewRaw("SELECT id FROM echobun_commits WHERE id <> 'installation'").Scan(ctx, &rows))
		require.Empty(t, rows, key)
	}
}

// While a transaction is between its prepares and its decision, recovery waits
// for it and lets it win.
func TestRecoverBesideATransaction(t *testing.T) {
	t.Parallel()
	held, release := make(chan struct{}), make(chan struct{})
	cfg := threeDatabases(t)
	delete(cfg.Binds, "meta")
	auth := cfg.Binds["auth"]
	auth.Hooks = []bun.QueryHook{&holdHook{held: held, release: release}}
	plain := echobun.Config{AppName: cfg.AppName, DatabaseURI: cfg.DatabaseURI, Binds: echobun.Binds{"auth": {URL: auth.URL}}}
	cfg.Binds["auth"] = auth
	x := newExtension(t, cfg, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	answer := make(chan error, 1)
	go func() {
		opts := &echobun.TxOptions{TwoPhase: true, Order: []string{"auth"}}
		answer <- s.RunInTx(context.WithValue(ctx, valueKey{}, "hold"), opts, func(ctx context.Context, tx *echobun.Session) error {
			if _, err := tx.NewInsert().Model(&Debit{Name: "x"}).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewInsert().Model(&Credit{Name: "x"}).Exec(ctx)
			return err
		})
	}()
	<-held // At the COMMIT of MariaDB: PostgreSQL has prepared, and anybody could end that.
	other := newExtension(t, plain, (*Debit)(nil), (*Credit)(nil))
	recovered := make(chan error, 1)
	go func() {
		_, err := other.RecoverPrepared(ctx)
		recovered <- err
	}()
	time.Sleep(100 * time.Millisecond) // The claim waits meanwhile.
	close(release)
	require.NoError(t, <-answer)
	require.NoError(t, <-recovered)
	for _, model := range []any{(*Debit)(nil), (*Credit)(nil)} {
		n, err := s.NewSelect().Model(model).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n, "%T", model)
	}
	require.Empty(t, preparedOn(t, x, ""))
}

// holdHook holds the COMMIT of a transaction with a mark in its context.
type holdHook struct{ held, release chan struct{} }

func (h *holdHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if event.Query == "COMMIT" && ctx.Value(valueKey{}) == "hold" {
		close(h.held)
		<-h.release
	}
	return ctx
}

func (h *holdHook) AfterQuery(context.Context, *bun.QueryEvent) {}

func TestRecoverErrors(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"auth": {URL: "mysql://127.0.0.1:1/none"}, "meta": {URL: sqliteURL(t)}},
		AppName: "down", Logger: slog.New(slog.DiscardHandler),
	}, txModels()...)
	report, err := x.RecoverPrepared(t.Context())
	var bindErr *echobun.BindError
	require.ErrorAs(t, err, &bindErr)
	require.Equal(t, "auth", bindErr.Bind)
	require.ErrorIs(t, err, echobun.ErrUnavailable)
	require.Equal(t, "recovered: nothing", report.String())
	require.NoError(t, x.Close())
	_, err = x.RecoverPrepared(t.Context())
	require.ErrorIs(t, err, echobun.ErrClosed)
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

// Recovery does not wait for the pools: what holds their connections may wait
// for the locks of what is to be recovered.
func TestRecoverOnFullPools(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	cfg.Defaults.MaxOpenConns = 1
	x := newExtension(t, cfg, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, s.RunInTx(ctx, &echobun.TxOptions{TwoPhase: true}, func(ctx context.Context, tx *echobun.Session) error {
		return insertAll(ctx, tx, "first")
	}))
	for _, db := range x.Engines() {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
	}
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())
}
