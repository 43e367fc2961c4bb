package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// ownMySQL is an engine of the user's own, which goes to a server by addr.
func ownMySQL(t *testing.T, server *dbtest.Server, addr string) *bun.DB {
	t.Helper()
	cfg := gomysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", addr, server.User, server.Password, server.Database
	connector, err := gomysql.NewConnector(cfg)
	require.NoError(t, err)
	db := bun.NewDB(sql.OpenDB(connector), mysqldialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// On an engine of the user's own, a bare DeadlineExceeded is the driver's, and
// says nothing of the server.
func TestOwnEngineIsNotLostForBeingSlow(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	db := ownMySQL(t, server, server.Addr())
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: db}})
	ctx, s := newSession(t, x)
	require.NoError(t, db.PingContext(ctx))
	limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	err := ran(s.NewRaw("SELECT SLEEP(2)").Exec(limited))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, echobun.ErrUnavailable)
	require.ErrorContains(t, err, "default bind")
}

// The answer to COMMIT is lost on an engine of the user's own: whether it has
// committed is unknown, or is settled where the engine has the decision.
func TestOwnEngineLosesACommit(t *testing.T) {
	t.Parallel()
	pg, my := dbtest.Postgres(t), dbtest.MariaDB(t)
	for name, m := range map[string]cutproxy.Mode{"request": cutproxy.DropRequest, "reply": cutproxy.DropReply} {
		proxy := cutproxy.New(t, my.Addr())
		x := newExtension(t, echobun.Config{
			DatabaseURI: pg.URL(), Binds: echobun.Binds{"auth": {DB: ownMySQL(t, my, proxy.Addr())}}, AppName: my.Database,
		}, (*Debit)(nil), (*Credit)(nil))
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		require.NoError(t, transact(ctx, s, inTwoPhases, "warm "+name))

		proxy.Arm(m, "\x03commit")
		err := s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.NewInsert().Model(&Credit{Name: name}).Exec(ctx))
		})
		require.ErrorIs(t, err, echobun.ErrOutcomeUnknown, name)

		proxy.Arm(m, "\x03commit")
		err = transact(ctx, s, inTwoPhases, "both "+name)
		require.Equal(t, 2, proxy.Cuts())
		want := [2]int{}
		if m == cutproxy.DropReply {
			require.NoError(t, err, "the log says that it was committed")
			want = [2]int{1, 1}
		} else {
			require.ErrorIs(t, err, echobun.ErrUnavailable)
			require.NotErrorIs(t, err, echobun.ErrOutcomeUnknown)
		}
		require.Equal(t, want, countBoth(t, x, "both "+name), name)
	}
}

// What commits implicitly is not sent, for nobody would notice here.
func TestOwnEngineRefusesImplicitCommits(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: ownMySQL(t, server, server.Addr())}}, (*Debit)(nil))
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	failed := errors.New("roll back")
	try := func(query string) error {
		return s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, ran(tx.NewInsert().Model(&Debit{Name: query}).Exec(ctx)))
			if err := ran(tx.NewRaw(query).Exec(ctx)); err != nil {
				return err
			}
			return failed
		})
	}
	for _, query := range []string{
		"ANALYZE TABLE debits", "analyze local table debits", "OPTIMIZE TABLE debits", "CHECK TABLE debits", "REPAIR TABLE debits",
		"FLUSH STATUS", "SET PASSWORD = PASSWORD('" + server.Password + "')",
	} {
		require.ErrorContains(t, try(query), "would commit the transaction", query)
	}
	for _, query := range []string{"ANALYZE SELECT * FROM debits", "SET @password = 1"} {
		require.ErrorIs(t, try(query), failed, query)
	}
	n, err := s.NewSelect().Model((*Debit)(nil)).Count(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}
