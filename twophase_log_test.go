package echobun_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// A statement has the deciding connection look elsewhere, where there is such a
// table too, even a copy of the right one. The decision goes where recovery
// looks for it.
func TestTwoPhaseLogIsNotLedElsewhere(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	for _, order := range [][]string{{""}, {"auth"}} { // Both logs are made.
		require.NoError(t, transact(ctx, s, &echobun.TxOptions{TwoPhase: true, Order: order}, "warm "+order[0]))
	}
	other, auth := dbtest.MariaDB(t), b.sound.Engines()["auth"]
	require.NoError(t, ran(auth.ExecContext(ctx, "CREATE TABLE "+other.Database+".echobun_commits AS SELECT * FROM echobun_commits")))
	require.NoError(t, ran(b.sound.Engine().ExecContext(ctx, "CREATE SCHEMA tenant; CREATE TABLE tenant.echobun_commits AS SELECT * FROM echobun_commits")))

	for name, tc := range map[string]struct{ bind, query, cut, marker string }{
		"search_path": {"", "SET LOCAL search_path = tenant", "auth", "xa commit"},
		"use":         {"auth", "USE " + other.Database, "", "commit prepared"},
	} {
		b.proxies[tc.cut].ArmN(-1, cutproxy.DropRequest, tc.marker)
		opts := &echobun.TxOptions{TwoPhase: true, Order: []string{tc.bind}}
		require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			if err := transact(ctx, tx, nil, name); err != nil {
				return err
			}
			return ran(tx.Bind(tc.bind).NewRaw(tc.query).Exec(ctx))
		}), name)
		b.proxies[tc.cut].Disarm()
		require.Len(t, b.prepared(t, tc.cut), 1, name)
		b.recover(t, b.sound)
		debits, credits := b.counts(t, name)
		require.Equal(t, [2]int{1, 1}, [2]int{debits, credits}, name)
	}
	requireAtRest(t, b.x)
}

// Another process has made the log anew: this one notices before it prepares,
// and goes on with the new one.
func TestTwoPhaseLogOfAnotherProcess(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	_, beside := newSession(t, b.sound)
	require.NoError(t, transact(ctx, s, inTwoPhases, "warm"))
	require.NoError(t, ran(b.sound.Engine().ExecContext(ctx, "DROP TABLE echobun_commits")))
	require.NoError(t, transact(ctx, beside, inTwoPhases, "of the other process"))

	require.ErrorIs(t, transact(ctx, s, inTwoPhases, "refused"), echobun.ErrTwoPhase)
	debits, credits := b.counts(t, "refused")
	require.Equal(t, [2]int{0, 0}, [2]int{debits, credits})

	b.proxies["auth"].ArmN(-1, cutproxy.DropRequest, "xa commit")
	require.NoError(t, transact(ctx, s, inTwoPhases, "left"))
	b.proxies["auth"].Disarm()
	b.recover(t, b.sound)
	debits, credits = b.counts(t, "left")
	require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
}

// A process that only recovers reads the log's name anew each time.
func TestRecoverReadsTheLogAnew(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	require.NoError(t, transact(ctx, s, inTwoPhases, "warm"))
	b.recover(t, b.sound)
	require.NoError(t, ran(b.sound.Engine().ExecContext(ctx, "DROP TABLE echobun_commits")))
	require.ErrorIs(t, transact(ctx, s, inTwoPhases, "refused"), echobun.ErrTwoPhase)
	b.proxies["auth"].ArmN(-1, cutproxy.DropRequest, "xa commit")
	require.NoError(t, transact(ctx, s, inTwoPhases, "left"))
	b.proxies["auth"].Disarm()
	b.recover(t, b.sound)
	debits, credits := b.counts(t, "left")
	require.Equal(t, [2]int{1, 1}, [2]int{debits, credits})
}

// Two binds have one database, and so one log.
func TestTwoPhaseOfTwoBindsOnOneDatabase(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	x := newExtension(t, echobun.Config{
		DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URL()}, "meta": {URL: pg.URL()}}, AppName: my.Database,
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	for _, order := range [][]string{nil, {"meta"}, {"auth"}} {
		name := fmt.Sprint(order)
		opts := &echobun.TxOptions{TwoPhase: true, Order: order}
		require.NoError(t, s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, name) }), name)
		requireNamed(t, x, name, 1, 1, 1)
	}
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())
}

// A copied database has a copied log. That is another one.
func TestTwoPhaseOfACopiedDatabase(t *testing.T) {
	t.Parallel()
	pg, twin, my := dbtest.Postgres(t), dbtest.Postgres(t), dbtest.MariaDB(t)
	proxy := cutproxy.New(t, my.Addr())
	x := newExtension(t, echobun.Config{
		DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URLVia(proxy.Addr())}, "meta": {URL: twin.URL()}}, AppName: my.Database,
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	all := func(name string) error {
		opts := &echobun.TxOptions{TwoPhase: true, Order: []string{"meta"}}
		return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, name) })
	}
	require.NoError(t, all("warm"))
	var installation string
	require.NoError(t, s.NewRaw("SELECT decision FROM echobun_commits WHERE id = 'installation'").Scan(ctx, &installation))
	require.NoError(t, ran(s.Bind("meta").ExecContext(ctx, "UPDATE echobun_commits SET decision = ? WHERE id = 'installation'", installation)))
	_, err := x.RecoverPrepared(ctx) // It reads the name.
	require.NoError(t, err)

	proxy.ArmN(-1, cutproxy.DropRequest, "xa commit")
	require.NoError(t, all("left"))
	proxy.Disarm()
	require.Eventually(t, func() bool {
		report, err := x.RecoverPrepared(ctx)
		return err == nil && report.Committed["auth"]+report.RolledBack["auth"] == 1
	}, time.Minute, 20*time.Millisecond)
	requireNamed(t, x, "left", 1, 1, 1)
}

// Whoever waits for a log that hangs waits no longer than allowed.
func TestTwoPhaseLogHangs(t *testing.T) {
	t.Parallel()
	b := newCutBank(t)
	ctx, s := newSession(t, b.x)
	connect(ctx, t, s)
	b.proxies[""].Arm(cutproxy.HangReply, "installation")
	first := make(chan error, 1)
	go func() {
		first <- transact(ctx, s, &echobun.TxOptions{TwoPhase: true, CommitTimeout: 10 * time.Second}, "first")
	}()
	require.Eventually(t, func() bool { return b.proxies[""].Cuts() == 1 }, time.Minute, time.Millisecond)

	_, beside := newSession(t, b.x)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	require.Error(t, transact(short, beside, &echobun.TxOptions{TwoPhase: true, CommitTimeout: 10 * time.Second}, "second"))
	require.Less(t, time.Since(start), 5*time.Second)
	require.ErrorIs(t, <-first, echobun.ErrTwoPhase)
	requireAtRest(t, b.x)
}
