package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

type credentials = func(context.Context) (user, password string, err error)

func credentialsOf(user, password string, err error) credentials {
	return func(context.Context) (string, string, error) { return user, password, err }
}

// A vault hands out the password of a user, and changes it on the server.
type vault struct {
	admin *bun.DB
	user  string
	asked atomic.Int64

	mu       sync.Mutex // Held while a password is changed.
	password string
	changes  int
}

// newVault makes a user for the server that x's default bind is an
// administrator of.
func newVault(t *testing.T, server *dbtest.Server) *vault {
	t.Helper()
	x := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
	v := &vault{admin: x.Engine(), user: "u_" + server.Database[len(server.Database)-8:], password: "first"}
	if v.postgres() {
		v.run(t, "CREATE ROLE ? LOGIN SUPERUSER PASSWORD '"+v.password+"'", bun.Ident(v.user))
	} else {
		v.run(t, "CREATE USER ?@'%' IDENTIFIED BY '"+v.password+"'", bun.Ident(v.user))
		v.run(t, "GRANT ALL ON *.* TO ?@'%'", bun.Ident(v.user))
	}
	t.Cleanup(func() {
		if v.postgres() {
			_, _ = v.admin.ExecContext(context.Background(), "DROP ROLE ?", bun.Ident(v.user))
			return
		}
		_, _ = v.admin.ExecContext(context.Background(), "DROP USER ?@'%'", bun.Ident(v.user))
	})
	return v
}

func (v *vault) postgres() bool { return v.admin.Dialect().Name().String() == "pg" }

// plainly keeps pgx from trying TLS first, on a connection of its own.
func (v *vault) plainly() string {
	if v.postgres() {
		return "?sslmode=disable"
	}
	return ""
}

func (v *vault) run(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := v.admin.ExecContext(context.Background(), query, args...)
	require.NoError(t, err)
}

// rotate changes the password; whoever asks meanwhile waits for the new one.
func (v *vault) rotate(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.password = fmt.Sprintf("s3cr3t%d", v.changes)
	v.changes++
	if v.postgres() {
		v.run(t, "ALTER ROLE ? PASSWORD '"+v.password+"'", bun.Ident(v.user))
		return
	}
	v.run(t, "ALTER USER ?@'%' IDENTIFIED BY '"+v.password+"'", bun.Ident(v.user))
}

func (v *vault) credentials(ctx context.Context) (user, password string, err error) {
	v.asked.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.user, v.password, ctx.Err()
}

// withoutUser is a server's URL that says nothing of whom.
func withoutUser(server *dbtest.Server, addr string) string {
	scheme, _, _ := strings.Cut(server.URL(), "://")
	return scheme + "://" + addr + "/" + server.Database
}

// onServers runs a test on a PostgreSQL and a MariaDB.
func onServers(t *testing.T, run func(t *testing.T, server *dbtest.Server)) {
	t.Helper()
	t.Run("PostgreSQL", func(t *testing.T) { t.Parallel(); run(t, dbtest.Postgres(t)) })
	t.Run("MariaDB", func(t *testing.T) { t.Parallel(); run(t, dbtest.MariaDB(t)) })
}

const rotatedLifetime = 100 * time.Millisecond

// The password changes five times under load, and no request fails, though
// some connections have asked for the password before it changed.
func TestCredentialsRotateUnderLoad(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, server *dbtest.Server) {
		v := newVault(t, server)
		proxy := cutproxy.New(t, server.Addr())
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {
			URL: withoutUser(server, proxy.Addr()) + v.plainly(), Credentials: v.credentials, MaxOpenConns: 4, ConnMaxLifetime: rotatedLifetime,
		}}})
		stop := make(chan struct{})
		var requests, failed atomic.Int64
		var load sync.WaitGroup
		for range 8 {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					ctx, end := x.AppContext(context.Background())
					s, _ := x.Session(ctx)
					err := s.Bind("auth").QueryRowContext(ctx, "SELECT 1").Scan(new(int))
					requests.Add(1)
					if err != nil && failed.Add(1) == 1 {
						t.Error(err)
					}
					end()
				}
			})
		}
		for range 5 {
			time.Sleep(3 * rotatedLifetime)
			v.rotate(t)
		}
		time.Sleep(3 * rotatedLifetime)
		close(stop)
		load.Wait()
		require.Zero(t, failed.Load())
		require.Greater(t, v.asked.Load(), int64(5))
		require.Eventually(t, func() bool { // One may be on its way, for nobody.
			return int64(proxy.Conns()) == v.asked.Load()
		}, 10*time.Second, time.Millisecond, "once for each connection")
		t.Logf("%d requests, %d connections, no error", requests.Load(), v.asked.Load())
		requireAtRest(t, x)
	})
}

// A statement that is stopped, and a commit that is asked about, use a
// connection beside the pool, and that has to know the password too.
func TestCredentialsOfSideConnections(t *testing.T) {
	t.Parallel()
	t.Run("MariaDB's KILL", func(t *testing.T) {
		t.Parallel()
		server := dbtest.MariaDB(t)
		v := newVault(t, server)
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: withoutUser(server, server.Addr()), Credentials: v.credentials}}})
		ctx, s := newSession(t, x)
		require.NoError(t, ran(s.Bind("auth").ExecContext(ctx, "SELECT 1")))
		v.rotate(t)
		asked := v.asked.Load()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, ran(s.Bind("auth").ExecContext(short, "SELECT SLEEP(20) /* "+v.user+" */")), context.DeadlineExceeded)
		require.Greater(t, v.asked.Load(), asked)
		require.Eventually(t, func() bool {
			var n int
			return v.admin.NewRaw("SELECT COUNT(*) FROM information_schema.processlist WHERE user = ? AND info LIKE '%SLEEP(20)%'", v.user).
				Scan(t.Context(), &n) == nil && n == 0
		}, 5*time.Second, 10*time.Millisecond)
	})
	t.Run("PostgreSQL's lost COMMIT", func(t *testing.T) {
		t.Parallel()
		server := dbtest.Postgres(t)
		v := newVault(t, server)
		proxy := cutproxy.New(t, server.Addr())
		x := newExtension(t, echobun.Config{DatabaseURI: withoutUser(server, proxy.Addr()), EngineOptions: echobun.EngineOptions{Credentials: v.credentials}},
			(*Debit)(nil))
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		v.rotate(t)
		asked := v.asked.Load()
		proxy.Arm(cutproxy.DropReply, "commit")
		require.NoError(t, s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.NewInsert().Model(&Debit{Name: "a"}).Exec(ctx))
		}), "the server is asked, and says that it has committed")
		require.Greater(t, v.asked.Load(), asked)
	})
}

// A password that was asked for before it changed is refused: it is asked for
// once more, and no oftener.
func TestCredentialsAreAskedForOnceMore(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, server *dbtest.Server) {
		v := newVault(t, server)
		var asked atomic.Int64
		for late, want := range map[int64]error{1: nil, 2: errors.New("refused")} {
			asked.Store(0)
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {
				URL: withoutUser(server, server.Addr()) + v.plainly(),
				Credentials: func(ctx context.Context) (user, password string, err error) {
					if asked.Add(1) <= late {
						return v.user, "s3cr3t of yesterday", nil
					}
					return v.credentials(ctx)
				},
			}}})
			ctx, s := newSession(t, x)
			err := ran(s.Bind("auth").ExecContext(ctx, "SELECT 1"))
			require.EqualValues(t, 2, asked.Load())
			if want == nil {
				require.NoError(t, err)
				continue
			}
			require.Error(t, err)
			require.ErrorContains(t, err, `bind "auth"`)
			require.NotContains(t, err.Error(), "s3cr3t")
		}
	})
}

func TestCredentialsOfTwoPhases(t *testing.T) {
	t.Parallel()
	postgres, mariadb := dbtest.Postgres(t), dbtest.MariaDB(t)
	pg, my := newVault(t, postgres), newVault(t, mariadb)
	x := newExtension(t, echobun.Config{
		DatabaseURI: withoutUser(postgres, postgres.Addr()), EngineOptions: echobun.EngineOptions{Credentials: pg.credentials},
		Binds:   echobun.Binds{"auth": {URL: withoutUser(mariadb, mariadb.Addr()), Credentials: my.credentials}, "meta": {URL: sqliteURL(t)}},
		AppName: mariadb.Database,
	}, txModels()...)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	pg.rotate(t)
	my.rotate(t)
	require.NoError(t, s.RunInTx(ctx, inTwoPhases, func(ctx context.Context, tx *echobun.Session) error { return insertAll(ctx, tx, "a") }))
	requireNamed(t, x, "a", 1, 1, 1)
	_, err := x.RecoverPrepared(ctx)
	require.NoError(t, err)
}

func TestCredentialsFail(t *testing.T) {
	t.Parallel()
	errVault := errors.New("vault is sealed")
	onServers(t, func(t *testing.T, server *dbtest.Server) {
		for name, tc := range map[string]struct {
			of   credentials
			says string
			is   []error
		}{
			"error":          {credentialsOf("u", "s3cr3t", errVault), "vault is sealed", []error{errVault, echobun.ErrUnavailable}},
			"no user":        {credentialsOf("", "s3cr3t", nil), "no user", []error{echobun.ErrUnavailable}},
			"panic":          {func(context.Context) (string, string, error) { panic("s3cr3t") }, "panicked", []error{echobun.ErrUnavailable}},
			"wrong password": {credentialsOf("nobody_s", "s3cr3t", nil), "nobody_s", nil},
			"hangs": {func(ctx context.Context) (string, string, error) {
				<-ctx.Done()
				return "", "", ctx.Err()
			}, "", []error{echobun.ErrUnavailable}},
		} {
			patience := 10 * time.Second
			if name == "hangs" {
				patience = 300 * time.Millisecond
			}
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {
				URL: withoutUser(server, server.Addr()), Credentials: tc.of, ConnectTimeout: patience,
			}}})
			ctx, s := newSession(t, x)
			start := time.Now()
			err := ran(s.Bind("auth").ExecContext(ctx, "SELECT 1"))
			require.Error(t, err, name)
			require.Less(t, time.Since(start), 5*time.Second, name)
			require.ErrorContains(t, err, `bind "auth"`)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t", name)
			for _, want := range tc.is {
				require.ErrorIs(t, err, want, name)
			}
			require.NotContains(t, x.Health(ctx).String(), "s3cr3t")
			closing := time.Now()
			require.NoError(t, x.Close())
			require.Less(t, time.Since(closing), 5*time.Second, name)
		}
	})
}

func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]echobun.EngineOptions{
		"SQLite": {URL: sqliteURL(t)}, "DB": {DB: newIdleDB(t)},
	} {
		o.Credentials = credentialsOf("u", "p", nil)
		_, err := echobun.New(echobun.Config{Binds: echobun.Binds{"auth": o}})
		var fault *echobun.ConfigError
		require.ErrorAs(t, err, &fault, name)
		require.Equal(t, "auth", fault.Bind)
		require.Equal(t, "Credentials", fault.Field, name)
	}
}
