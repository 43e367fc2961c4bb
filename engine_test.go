package echobun_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// fakeExtension returns an extension on a fake database, and a function that
// returns what it was asked for since the last call.
func fakeExtension(t *testing.T, kind string, opts echobun.EngineOptions) (*echobun.Extension, func() []string) {
	t.Helper()
	opts.URL = "fakedb://" + kind + "/" + t.Name()
	x := newExtension(t, echobun.Config{EngineOptions: opts})
	seen := len(fakeCalls(t.Name())) // With -count there may be some.
	return x, func() []string {
		calls := fakeCalls(t.Name())
		since := calls[seen:]
		seen = len(calls)
		return since
	}
}

// Whatever a driver's connections can, statements reach them once, in the way
// that database/sql would have taken without us.
func TestEngineStatements(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind        string
		exec, query []string
		withArgs    []string
		begin       string
	}{
		{
			"plain",
			[]string{"prepare X", "stmt exec X"},
			[]string{"prepare Q", "stmt query Q"},
			[]string{"prepare A", "stmt exec [7] A"},
			"begin ",
		},
		{
			"skips",
			[]string{"prepare X", "stmt exec X"},
			[]string{"prepare Q", "stmt query Q"},
			[]string{"prepare A", "stmt exec [7] A"},
			"begin ",
		},
		{
			"full",
			[]string{"exec X"},
			[]string{"query Q"},
			[]string{"exec A"},
			"begin false",
		},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			x, calls := fakeExtension(t, tt.kind, echobun.EngineOptions{MaxOpenConns: 1})
			db, ctx := x.Engine().DB, t.Context()
			drop := func(list []string) []string {
				kept := []string{}
				for _, call := range list {
					if call != "reset " {
						kept = append(kept, call)
					}
				}
				return kept
			}

			_, err := db.ExecContext(ctx, "X")
			require.NoError(t, err)
			require.Equal(t, tt.exec, drop(calls()))
			var n int
			require.NoError(t, db.QueryRowContext(ctx, "Q").Scan(&n))
			require.Equal(t, 1, n)
			require.Equal(t, tt.query, drop(calls()))
			_, err = db.ExecContext(ctx, "A", 7)
			require.NoError(t, err)
			require.Equal(t, tt.withArgs, drop(calls()))

			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			tx, err = db.BeginTx(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
			require.Equal(t, []string{tt.begin, "commit ", tt.begin, "rollback "}, drop(calls()))
			require.NoError(t, db.PingContext(ctx))
		})
	}
}

func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"plain", "skips", "full"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x, _ := fakeExtension(t, kind, echobun.EngineOptions{})
			db, ctx := x.Engine(), t.Context()
			fails := func(err error, op string) {
				t.Helper()
				var bind *echobun.BindError
				require.ErrorAs(t, err, &bind)
				require.Same(t, errFakeStatement, bind.Err, "it is wrapped once")
				require.ErrorIs(t, err, echobun.ErrCheck, "the driver was asked what it is")
				require.EqualError(t, err, "echobun: default bind: "+op+": fakedb: statement says no")
			}

			_, err := db.ExecContext(ctx, "FAIL")
			fails(err, "FAIL")
			_, err = db.QueryContext(ctx, "FAIL") //nolint:rowserrcheck,sqlclosecheck // There are none.
			fails(err, "FAIL")
			fails(db.QueryRowContext(ctx, "FAIL").Scan(new(int)), "FAIL")
			_, err = db.PrepareContext(ctx, "FAIL")
			fails(err, "FAIL")
			tx, err := db.DB.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(ctx, "FAIL")
			fails(err, "FAIL")
			require.NoError(t, tx.Rollback())
		})
	}
}

func TestPlainDriverLimits(t *testing.T) {
	t.Parallel()
	x, _ := fakeExtension(t, "plain", echobun.EngineOptions{})
	db, ctx := x.Engine().DB, t.Context()
	_, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	require.ErrorContains(t, err, "default bind: BEGIN: driver *echobun_test.plainConn supports no transaction options")
	_, err = db.ExecContext(ctx, "X", sql.Named("a", 1))
	require.ErrorContains(t, err, `the driver supports no named arguments: "a"`)
	require.ErrorContains(t, db.QueryRowContext(ctx, "X", sql.Named("a", 1)).Scan(new(int)), `no named arguments: "a"`)
}

// Prepared statements convert their arguments as the driver wants it.
func TestPreparedStatements(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string][]string{
		"plain": {"prepare P", "stmt exec [7] P", "stmt query [8] P"},
		"full":  {"prepare P", "stmt exec [{ 1 checked 7}] P", "stmt query [{ 1 checked 8}] P"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x, calls := fakeExtension(t, kind, echobun.EngineOptions{})
			conn, err := x.Engine().DB.Conn(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			stmt, err := conn.PrepareContext(t.Context(), "P")
			require.NoError(t, err)
			defer stmt.Close()
			_, err = stmt.ExecContext(t.Context(), 7)
			require.NoError(t, err)
			require.NoError(t, stmt.QueryRowContext(t.Context(), 8).Scan(new(int)))
			require.Equal(t, want, calls())
		})
	}
}

// What a driver's rows know of their columns comes through, and what they do
// not know is as database/sql has it.
func TestColumnTypes(t *testing.T) {
	t.Parallel()
	type facts struct {
		scan                         reflect.Type
		name                         string
		length, precision, scale     int64
		hasLength, nullable, decimal bool
	}
	for kind, want := range map[string]facts{
		"plain": {scan: reflect.TypeFor[any]()},
		"full": {
			scan: reflect.TypeFor[int64](), name: "BIGINT", length: 8, hasLength: true, nullable: true,
			precision: 19, scale: 2, decimal: true,
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x, _ := fakeExtension(t, kind, echobun.EngineOptions{})
			rows, err := x.Engine().QueryContext(t.Context(), "Q")
			require.NoError(t, err)
			defer rows.Close()
			types, err := rows.ColumnTypes()
			require.NoError(t, err)
			require.Len(t, types, 1)
			require.Equal(t, "n", types[0].Name())

			var got facts
			got.scan, got.name = types[0].ScanType(), types[0].DatabaseTypeName()
			got.length, got.hasLength = types[0].Length()
			got.precision, got.scale, got.decimal = types[0].DecimalSize()
			got.nullable, _ = types[0].Nullable()
			require.Equal(t, want, got)

			n := 0
			for rows.Next() {
				n++
			}
			require.Equal(t, 1, n)
			require.Equal(t, kind == "full", rows.NextResultSet())
			require.NoError(t, rows.Err())
		})
	}
}

// Errors between rows and at their end are errors of the bind too.
func TestRowsErrors(t *testing.T) {
	t.Parallel()
	x, _ := fakeExtension(t, "full", echobun.EngineOptions{})
	rows, err := x.Engine().QueryContext(t.Context(), "SELECT BREAK")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	require.False(t, rows.Next())
	require.ErrorIs(t, rows.Err(), echobun.ErrCheck)
	require.EqualError(t, rows.Err(), "echobun: default bind: SELECT: fakedb: statement says no")

	rows, err = x.Engine().QueryContext(t.Context(), "SELECT BREAK") //nolint:rowserrcheck // The error of Close is what is asked for.
	require.NoError(t, err)
	require.EqualError(t, rows.Close(), "echobun: default bind: SELECT: fakedb: cannot close") //nolint:sqlclosecheck // As above.
	require.Zero(t, x.Engine().Stats().InUse)
}

// The driver's own connection is behind ours, for [sql.Conn.Raw].
func TestRawConnection(t *testing.T) {
	t.Parallel()
	x, _ := fakeExtension(t, "full", echobun.EngineOptions{})
	conn, err := x.Engine().DB.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(dc any) error {
		unwrapper, ok := dc.(interface{ Unwrap() sqldriver.Conn })
		require.True(t, ok)
		require.IsType(t, (*fullConn)(nil), unwrapper.Unwrap())
		return nil
	}))
}

func TestOnConnect(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string][]string{
		"plain": {"prepare ONE", "stmt exec ONE", "prepare TWO", "stmt exec TWO"},
		"skips": {"prepare ONE", "stmt exec ONE", "prepare TWO", "stmt exec TWO"},
		"full":  {"exec ONE", "exec TWO"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x, calls := fakeExtension(t, kind, echobun.EngineOptions{OnConnect: []string{"ONE", "TWO"}, MaxOpenConns: 2})
			first, err := x.Engine().DB.Conn(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, calls())
			second, err := x.Engine().DB.Conn(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, calls(), "on each connection")
			require.NoError(t, second.Close())
			require.NoError(t, first.Close())
			third, err := x.Engine().DB.Conn(t.Context())
			require.NoError(t, err)
			require.NoError(t, third.Close())
			require.NotContains(t, calls(), want[0], "and only on new ones")
		})
	}
}

func TestOnConnectFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, query string }{{"plain", "FAIL"}, {"plain", "UNPREPARED"}, {"skips", "UNPREPARED"}, {"full", "FAIL"}} {
		t.Run(tt.kind+tt.query, func(t *testing.T) {
			t.Parallel()
			x, _ := fakeExtension(t, tt.kind, echobun.EngineOptions{OnConnect: []string{"ONE", tt.query}})
			ctx, s := newSession(t, x)
			_, err := s.NewRaw("SELECT 1").Exec(ctx)
			require.ErrorIs(t, err, errFakeStatement)
			require.EqualError(t, err, "echobun: default bind: OnConnect "+tt.query+": fakedb: statement says no")
			require.Zero(t, x.Engine().Stats().OpenConnections)
		})
	}
}

// A statement of OnConnect may call code of the application's, as SQLite's do.
func TestOnConnectThatLeaves(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"plain", "skips", "full"} {
		for _, query := range []string{"PANIC", "GOEXIT", "FAIL"} {
			t.Run(kind+query, func(t *testing.T) {
				t.Parallel()
				x, _ := fakeExtension(t, kind, echobun.EngineOptions{OnConnect: []string{"ONE", query}})
				ctx, s := newSession(t, x)
				for range 3 {
					require.Error(t, inTime(t, func() error { return ran(s.NewRaw("SELECT 1").Exec(ctx)) }))
				}
				require.Zero(t, x.Engine().Stats().OpenConnections)
				require.Zero(t, fakeOpen(t.Name()), "the driver's are closed")
			})
		}
	}
}

// On real databases OnConnect sets what holds for the connection.
func TestOnConnectOnServers(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]struct{ set, show, want string }{
		"PostgreSQL": {"SET search_path = elsewhere", "SHOW search_path", "elsewhere"},
		"MariaDB":    {"SET @marker = 'here'", "SELECT @marker", "here"},
		"SQLite":     {"PRAGMA cache_size = 1234", "PRAGMA cache_size", "1234"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := databases[name](t)
			x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{URL: dsn, OnConnect: []string{on.set}}})
			ctx, s := newSession(t, x)
			var got string
			require.NoError(t, s.Bind("").QueryRowContext(ctx, on.show).Scan(&got))
			require.Equal(t, on.want, got)

			bad := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: dsn, OnConnect: []string{"NO SUCH STATEMENT"}}}})
			ctx, s = newSession(t, bad)
			_, err := s.Bind("auth").ExecContext(ctx, "SELECT 1")
			var bind *echobun.BindError
			require.ErrorAs(t, err, &bind)
			require.Equal(t, "auth", bind.Bind)
			require.Equal(t, "OnConnect NO", bind.Op)
			require.NotErrorIs(t, err, echobun.ErrUnavailable)
		})
	}
}

func TestPoolOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		opts echobun.EngineOptions
		want int
		idle int
	}{
		{"Default", echobun.EngineOptions{}, 100, 30},
		{"Some", echobun.EngineOptions{MaxOpenConns: 20, MaxIdleConns: 2}, 20, 2},
		{"NoIdleLimit", echobun.EngineOptions{MaxOpenConns: 20, MaxIdleConns: -1}, 20, 20},
		{"NoLimit", echobun.EngineOptions{MaxOpenConns: -1}, 0, 30},
		{"NoLifetime", echobun.EngineOptions{MaxOpenConns: -1, ConnMaxLifetime: time.Nanosecond}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.opts.URL = "sqlite://"
			x := newExtension(t, echobun.Config{EngineOptions: tt.opts})
			db := x.Engine().DB
			require.Equal(t, tt.want, db.Stats().MaxOpenConnections)

			conns := []*sql.Conn{}
			for range 30 {
				if tt.want > 0 && len(conns) == tt.want {
					break
				}
				conn, err := db.Conn(context.Background())
				require.NoError(t, err)
				conns = append(conns, conn)
			}
			time.Sleep(time.Microsecond)
			for _, conn := range conns {
				require.NoError(t, conn.Close())
			}
			require.Equal(t, min(tt.idle, len(conns)), db.Stats().Idle)
		})
	}
}
