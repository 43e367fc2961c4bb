package echobun_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

var errTick = errors.New("a bug of the tick's")

// A tick's code panics when it is read, in one way or another.
type tick struct {
	Text string
}

func (t *tick) Scan(src any) error {
	if src != nil {
		panic(errTick)
	}
	return nil
}

// A tock panics when it is read from JSON.
type tock struct{ Text string }

func (*tock) UnmarshalJSON(b []byte) error { _ = b[len(b)]; return nil }

type ticking struct {
	ID   int64 `bun:",pk,autoincrement"`
	Bad  tick  `bun:"type:varchar(20),nullzero"`
	Tock *tock `bun:"type:varchar(20)"`
}

type clock struct {
	ID        int64    `bun:",pk,autoincrement"`
	Name      string   `bun:",notnull"`
	TickingID int64    `bun:",nullzero"`
	Ticking   *ticking `bun:"rel:belongs-to,join:ticking_id=id"`
}

// withTicks has a row in each of ticking and clock.
func withTicks(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session)) {
	t.Helper()
	perDatabase(t, []any{(*ticking)(nil), (*clock)(nil)}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for _, q := range []string{
			"INSERT INTO tickings (bad) VALUES ('x')", "INSERT INTO tickings (tock) VALUES ('{}')",
			"INSERT INTO clocks (name, ticking_id) VALUES ('a', 1)",
		} {
			_, err := db.NewRaw(q).Exec(ctx)
			require.NoError(t, err)
		}
		run(ctx, t, x, db)
	})
}

// inTime runs what must neither hang nor panic.
func inTime(t *testing.T, run func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
		return nil
	}
}

// requireFree requires that nobody holds a connection, nor a lock on clocks.
func requireFree(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := db.NewUpdate().Model((*clock)(nil)).Set("name = 'z'").Where("1 = 1").Exec(ctx)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 2*time.Second, time.Millisecond)
}

// touched writes, and then reads what panics.
func touched(ctx context.Context, db bun.IDB, read func(db bun.IDB) error) error {
	if _, err := db.NewUpdate().Model((*clock)(nil)).Set("name = 'y'").Where("1 = 1").Exec(ctx); err != nil {
		return err
	}
	return read(db)
}

// TestScannersThatPanic reads them through every door. A panic would leave the
// lock of database/sql's rows locked, and all that waits for it for ever.
func TestScannersThatPanic(t *testing.T) {
	t.Parallel()
	reads := map[string]func(ctx context.Context, db bun.IDB) error{
		"struct": func(ctx context.Context, db bun.IDB) error {
			return db.NewSelect().Model(new(ticking)).Where("id = 1").Scan(ctx)
		},
		"slice":    func(ctx context.Context, db bun.IDB) error { return db.NewSelect().Model(new([]ticking)).Scan(ctx) },
		"pointers": func(ctx context.Context, db bun.IDB) error { return db.NewSelect().Model(new([]*ticking)).Scan(ctx) },
		"JSON": func(ctx context.Context, db bun.IDB) error {
			return db.NewSelect().Model(new(ticking)).Where("id = 2").Scan(ctx)
		},
		"relation": func(ctx context.Context, db bun.IDB) error {
			return db.NewSelect().Model(new([]clock)).Relation("Ticking").Scan(ctx)
		},
		"raw": func(ctx context.Context, db bun.IDB) error {
			return db.NewRaw("SELECT * FROM tickings").Scan(ctx, new([]ticking))
		},
	}
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		for name, read := range reads {
			for door, through := range waysIn(ctx, t, x, db) {
				err := inTime(t, func() error {
					ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
					return through(func(db bun.IDB) error { return read(ctx, db) })
				})
				require.ErrorContains(t, err, "panicked at ", "%s, %s", name, door)
				require.ErrorContains(t, err, "guard_test.go:", "it says where")
				if name != "JSON" {
					require.ErrorIs(t, err, errTick, "%s, %s", name, door)
				}
				requireFree(ctx, t, x, db)
			}
		}
	})
}

// A quitter ends the goroutine that reads it, as an assertion does that fails.
type quitter struct{ Text string }

func (*quitter) Scan(src any) error {
	if src != nil {
		runtime.Goexit()
	}
	return nil
}

type quitting struct {
	bun.BaseModel `bun:"table:tickings"`

	ID  int64   `bun:",pk,autoincrement"`
	Bad quitter `bun:"type:varchar(20),nullzero"`
}

// ends runs what ends its goroutine, and waits for that.
func ends(t *testing.T, run func() error) {
	t.Helper()
	require.NoError(t, inTime(t, func() error {
		ended, returned := make(chan struct{}), false
		go func() {
			defer close(ended)
			_ = run()
			returned = true
		}()
		<-ended
		if returned {
			return errTick
		}
		return nil
	}), "it returns")
}

// TestScannersThatLeave: the end of a goroutine leaves the lock locked as a
// panic does, and nothing can make an error of it.
func TestScannersThatLeave(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		read := func(db bun.IDB) error {
			short, cancel := context.WithTimeout(ctx, leftAfter)
			defer cancel()
			return db.NewSelect().Model(new([]quitting)).Column("id", "bad").Scan(short)
		}
		for _, through := range waysIn(ctx, t, x, db) {
			ends(t, func() error { return through(read) })
			requireFree(ctx, t, x, db)
		}
		if x.Engine().Dialect().Name() == dialect.MySQL {
			return // It has no RETURNING for an UPDATE.
		}
		ends(t, func() error {
			short, cancel := context.WithTimeout(ctx, leftAfter)
			defer cancel()
			return db.Bind("").NewUpdate().Model(new(quitting)).ModelTableExpr("tickings AS quitting").
				Set("bad = 'y'").Where("id = 1").Returning("bad").Scan(short)
		})
		requireFree(ctx, t, x, db)
	})
}

func TestScannersThatPanicInIsolation(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		end, err := bridge.Isolate(x)
		require.NoError(t, err)
		require.ErrorIs(t, inTime(t, func() error { return db.NewSelect().Model(new([]ticking)).Scan(ctx) }), errTick)
		require.ErrorIs(t, inTime(t, func() error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				return tx.NewSelect().Model(new([]ticking)).Scan(ctx)
			})
		}), errTick)
		requireFree(ctx, t, x, db)
		require.NoError(t, end())
	})
}

// TestArraysThatBunCannotScan is about a panic of Bun's own.
func TestArraysThatBunCannotScan(t *testing.T) {
	t.Parallel()
	type keyring struct {
		ID   int64      `bun:",pk,autoincrement"`
		Keys [][16]byte `bun:"type:bytea[],array"`
	}
	x := newExtension(t, echobun.Config{DatabaseURI: databases["PostgreSQL"](t)}, (*keyring)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, err := db.NewRaw(`INSERT INTO keyrings (keys) VALUES (ARRAY['\x01'::bytea])`).Exec(ctx)
	require.NoError(t, err)
	require.Error(t, inTime(t, func() error { return db.NewSelect().Model(new(keyring)).Scan(ctx) }))
	require.Zero(t, x.Engine().Stats().InUse)
}

// A leaver is an argument that leaves when its value is asked for.
type leaver func()

func (l leaver) Value() (driver.Value, error) { l(); return "never", nil }

// gone closes rows that nobody wants.
func gone(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	return rows.Close()
}

// TestArgumentsThatLeave gives them to database/sql, which asks for their values
// while it holds a connection, and does not give it back.
func TestArgumentsThatLeave(t *testing.T) {
	t.Parallel()
	withTicks(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		query := "SELECT name FROM clocks WHERE name = ?"
		if x.Engine().Dialect().Name() == dialect.PG {
			query = "SELECT name FROM clocks WHERE name = $1"
		}
		pool := x.Engine().DB
		for name, run := range map[string]func(arg any) error{
			"query": func(arg any) error { return gone(pool.QueryContext(ctx, query, arg)) },
			"exec":  func(arg any) error { return ran(pool.ExecContext(ctx, query, arg)) },
			"row":   func(arg any) error { return pool.QueryRowContext(ctx, query, arg).Scan(new(string)) },
			"prepared": func(arg any) error {
				s, err := pool.PrepareContext(ctx, query)
				require.NoError(t, err)
				defer s.Close()
				return gone(s.QueryContext(ctx, arg))
			},
			"transaction": func(arg any) error {
				tx, err := pool.BeginTx(ctx, nil)
				require.NoError(t, err)
				defer func() { _ = tx.Rollback() }()
				_, err = tx.ExecContext(ctx, "UPDATE clocks SET name = 'y'")
				require.NoError(t, err)
				return gone(tx.QueryContext(ctx, query, arg))
			},
		} {
			require.ErrorIs(t, inTime(t, func() error { return run(leaver(func() { panic(errTick) })) }), errTick, name)
			requireFree(ctx, t, x, db)
		}
	})
}

// TestConnectionsWhoeverLeaves leaves in what is called while a connection is
// opened, which database/sql does on a goroutine of its own.
func TestConnectionsWhoeverLeaves(t *testing.T) {
	t.Parallel()
	leaves := map[string]func(){"panic": func() { panic(errTick) }, "Goexit": runtime.Goexit}
	for _, name := range []string{"MariaDB/panic", "MariaDB/Goexit", "PostgreSQL/panic", "PostgreSQL/Goexit"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind, how, _ := strings.Cut(name, "/")
			leave, asked := leaves[how], 0
			x := newExtension(t, echobun.Config{DatabaseURI: databases[kind](t), EngineOptions: echobun.EngineOptions{
				MaxOpenConns: 1,
				Credentials: func(context.Context) (user, password string, err error) {
					if asked++; asked <= 3 {
						leave()
					}
					return "root", "", errTick
				},
			}})
			ctx, db := newSession(t, x)
			for range 3 {
				err := inTime(t, func() error { return ran(db.NewRaw("SELECT 1").Exec(ctx)) })
				require.ErrorIs(t, err, echobun.ErrUnavailable)
			}
			require.ErrorIs(t, inTime(t, func() error { return ran(db.NewRaw("SELECT 1").Exec(ctx)) }), errTick)
			require.Zero(t, x.Engine().Stats().OpenConnections)
		})
	}
}

// A brokenHandler is a log handler with a bug.
type brokenHandler struct{ slog.Handler }

func (brokenHandler) Enabled(context.Context, slog.Level) bool { return true }

func (brokenHandler) Handle(context.Context, slog.Record) error { panic(errTick) }

func TestLogHandlersThatPanic(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), LogStatements: true, LeakThreshold: time.Millisecond,
		Logger: slog.New(brokenHandler{slog.DiscardHandler}),
	})
	ctx, db := newSession(t, x)
	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		time.Sleep(20 * time.Millisecond) // What watches for leaks logs, on a goroutine that nobody recovers.
		return ran(tx.NewRaw("SELECT 1").Exec(ctx))
	}))
	require.Zero(t, x.Engine().Stats().InUse)
}

// TestHooksThatLeaveBehindTheirQuery leaves when there are rows that only Bun
// has, and forgets.
func TestHooksThatLeaveBehindTheirQuery(t *testing.T) {
	t.Parallel()
	for name, leave := range leavings() {
		h := &leavingHook{prefix: "SELECT", after: true, leave: leave}
		x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{h}}})
		ctx, db := newSession(t, x)
		for what, query := range map[string]func(){
			"rows": func() { _ = gone(db.Bind("").QueryContext(ctx, "SELECT 1")) },
			"row":  func() { _ = db.Bind("").QueryRowContext(ctx, "SELECT 1") },
		} {
			h.armed.Store(true)
			require.False(t, apart(query), "%s, %s", name, what)
			require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 2*time.Second, time.Millisecond, "%s, %s", name, what)
		}
		var n int
		require.NoError(t, db.Bind("").QueryRowContext(ctx, "SELECT 1").Scan(&n))
	}
}
