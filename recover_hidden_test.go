package echobun_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// The tests in this file have recovery look where a prepared transaction
// cannot be seen, though it is there.

// countBoth returns how many rows of that name both binds have.
func countBoth(t *testing.T, x *echobun.Extension, name string) [2]int {
	t.Helper()
	ctx, s := newSession(t, x)
	var both [2]int
	require.NoError(t, s.NewRaw("SELECT count(*) FROM debits WHERE name = ?", name).Scan(ctx, &both[0]))
	require.NoError(t, s.Bind("auth").NewRaw("SELECT count(*) FROM credits WHERE name = ?", name).Scan(ctx, &both[1]))
	return both
}

// A standby does not list what is prepared on its primary: the decision has to
// stay until it is promoted.
func TestRecoverOnAStandby(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.StartPostgres(t), dbtest.MariaDB(t)
	proxy := cutproxy.New(t, pg.Addr())
	auth := echobun.Binds{"auth": {URL: my.URL()}}
	x := newExtension(t, echobun.Config{DatabaseURI: pg.URLVia(proxy.Addr()), Binds: auth, AppName: my.Database}, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	standby := pg.Standby()
	opts := &echobun.TxOptions{TwoPhase: true, Order: []string{"auth"}}
	require.NoError(t, transact(ctx, s, opts, "warm"))
	proxy.ArmN(-1, cutproxy.DropRequest, "commit prepared")
	require.NoError(t, transact(ctx, s, opts, "left"))
	proxy.Disarm()
	var position string
	require.NoError(t, x.Engine().NewRaw("SELECT pg_current_wal_lsn()::text").Scan(ctx, &position))

	y := newExtension(t, echobun.Config{DatabaseURI: standby.URL(), Binds: auth, AppName: my.Database}, (*Debit)(nil), (*Credit)(nil))
	require.Eventually(t, func() bool {
		var caughtUp bool
		err := y.Engine().NewRaw("SELECT pg_last_wal_replay_lsn() >= ?::pg_lsn", position).Scan(ctx, &caughtUp)
		return err == nil && caughtUp
	}, time.Minute, 50*time.Millisecond)
	pg.Kill()
	report, err := y.RecoverPrepared(ctx)
	require.NoError(t, err, "a replica among the binds is no failure")
	require.Equal(t, "recovered: nothing", report.String())

	standby.Promote()
	report, err = y.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"": 1}, report.Committed)
	require.Equal(t, [2]int{1, 1}, countBoth(t, y, "left"))
}

// On an engine of the user's own nothing can be listed either.
func TestRecoverWithAnOwnEngine(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	proxy := cutproxy.New(t, my.Addr())
	x := newExtension(t, echobun.Config{
		DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URLVia(proxy.Addr())}}, AppName: my.Database,
	}, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	proxy.ArmN(-1, cutproxy.DropRequest, "xa commit")
	require.NoError(t, transact(ctx, s, inTwoPhases, "left"))
	proxy.Disarm()

	other := newExtension(t, echobun.Config{
		DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {DB: ownMySQL(t, my, my.Addr())}}, AppName: my.Database,
	})
	report, err := other.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", report.String())
	require.Eventually(t, func() bool {
		report, err := x.RecoverPrepared(ctx)
		return err == nil && report.Committed["auth"] == 1
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, [2]int{1, 1}, countBoth(t, x, "left"))
}

// A transaction that has changed its role belongs to that role once it is
// prepared. Who may take the role on can finish it.
func TestRecoverFromAnotherRole(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	owner := newExtension(t, echobun.Config{DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {URL: my.URL()}}}, (*Debit)(nil), (*Credit)(nil))
	ctx, _ := newSession(t, owner)
	require.NoError(t, owner.CreateAll(ctx))
	login, tenant := "app_"+pg.Database, `"'; -- ""of `+pg.Database+`"`
	for _, query := range []string{
		"CREATE ROLE " + login + " LOGIN PASSWORD 'secret'", "CREATE ROLE " + tenant, "GRANT " + tenant + " TO " + login,
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO " + tenant, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO " + tenant,
	} {
		require.NoError(t, ran(owner.Engine().ExecContext(ctx, query)))
	}
	t.Cleanup(func() {
		query := "DROP OWNED BY " + login + ", " + tenant + "; DROP ROLE " + login + "; DROP ROLE " + tenant
		require.NoError(t, ran(owner.Engine().ExecContext(context.Background(), query)))
	})
	as := *pg
	as.User, as.Password = login, "secret"
	proxy := cutproxy.New(t, as.Addr())
	x := newExtension(t, echobun.Config{
		DatabaseURI: as.URLVia(proxy.Addr()), Binds: echobun.Binds{"auth": {URL: my.URL()}}, AppName: my.Database,
	}, (*Debit)(nil), (*Credit)(nil))
	ctx, s := newSession(t, x)
	opts := &echobun.TxOptions{TwoPhase: true, Order: []string{"auth"}}
	act := func(name string) error {
		return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error {
			if err := ran(tx.NewRaw("SET LOCAL ROLE " + tenant).Exec(ctx)); err != nil {
				return err
			}
			return transact(ctx, tx, nil, name)
		})
	}
	require.NoError(t, act("at once"))
	require.Empty(t, preparedOn(t, x, ""))
	proxy.ArmN(-1, cutproxy.DropRequest, "commit prepared")
	require.NoError(t, act("left"))
	proxy.Disarm()
	report, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"": 1}, report.Committed)
	for _, name := range []string{"at once", "left"} {
		require.Equal(t, [2]int{1, 1}, countBoth(t, owner, name), name)
	}
	requireAtRest(t, x)
}
