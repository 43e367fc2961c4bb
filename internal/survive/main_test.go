package survive_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // Toxiproxy has a lot to say.
	dbtest.Main(m, toxiproxys...)
}

// toxiproxys are goroutines that Toxiproxy leaves behind when a connection
// ends while a toxic is taken away.
var toxiproxys = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
}

// long reports whether the tests are to hold to their figures.
func long() bool { return os.Getenv("ECHOBUN_LONG") == "1" }

// pick returns what the short form of the tests has, or the long one.
func pick[T any](short, full T) T {
	if long() {
		return full
	}
	return short
}

// Item is on the default bind, AuthItem on "auth", MetaItem on "meta".
type Item struct {
	bun.BaseModel `bun:"table:items"`

	ID   string `bun:"type:varchar(60),pk"`
	Text string `bun:"type:varchar(200)"`
}

type AuthItem struct {
	bun.BaseModel `bun:"table:items"`

	ID   string `bun:"type:varchar(60),pk"`
	Text string `bun:"type:varchar(200)"`
}

func (AuthItem) BindKey() string { return "auth" }

type MetaItem struct {
	bun.BaseModel `bun:"table:items"`

	ID   string `bun:"type:varchar(60),pk"`
	Text string `bun:"type:varchar(200)"`
}

func (MetaItem) BindKey() string { return "meta" }

// A kind is a kind of server.
type kind struct {
	name  string
	fresh func(testing.TB) *dbtest.Server
	start func(testing.TB, ...string) *dbtest.Server
	sleep string // A query that takes some seconds.
	// sessions lists the ids of all sessions on the database but the own, with
	// what each does; kill ends one.
	sessions, kill string
}

var kinds = []kind{
	{
		"PostgreSQL", dbtest.Postgres, dbtest.StartPostgres, "SELECT pg_sleep(%g)",
		"SELECT pid, CASE WHEN state = 'idle' THEN '' ELSE query END FROM pg_stat_activity " +
			"WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"SELECT pg_terminate_backend(%d)",
	},
	{
		"MariaDB", dbtest.MariaDB, dbtest.StartMariaDB, "SELECT SLEEP(%g)",
		"SELECT id, coalesce(info, '') FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
		"KILL %d",
	},
}

// forKinds runs a test on each kind of server, one after the other.
func forKinds(t *testing.T, run func(t *testing.T, k kind)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { run(t, k) })
	}
}

func sqliteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite:///" + filepath.Join(tb.TempDir(), "test.db")
}

// noLeaks requires, when the test ends, that no goroutine of its is left. It
// is for tests that do not run in parallel, and comes first in them.
func noLeaks(t *testing.T) {
	t.Helper()
	dbtest.Postgres(t) // The servers that all tests share are no leak.
	dbtest.MariaDB(t)
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, append([]goleak.Option{before}, toxiproxys...)...) })
}

// newExtension returns an extension with the tables of all models made. When
// the test ends, no connection may be in use.
func newExtension(t *testing.T, cfg echobun.Config) *echobun.Extension {
	t.Helper()
	x := openExtension(t, cfg)
	ctx, end := x.AppContext(t.Context())
	defer end()
	require.NoError(t, x.CreateAll(ctx))
	return x
}

// openExtension is newExtension without the tables.
func openExtension(t *testing.T, cfg echobun.Config) *echobun.Extension {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	x, err := echobun.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	t.Cleanup(func() { requireAtRest(t, x) })
	models := []any{(*Item)(nil)}
	for key, model := range map[string]any{"auth": (*AuthItem)(nil), "meta": (*MetaItem)(nil)} {
		if _, ok := cfg.Binds[key]; ok {
			models = append(models, model)
		}
	}
	require.NoError(t, x.Register(models...))
	return x
}

// requireAtRest requires that no pool has a connection in use.
func requireAtRest(t *testing.T, x *echobun.Extension) {
	t.Helper()
	for key, db := range x.Engines() {
		require.Eventually(t, func() bool { return db.Stats().InUse == 0 },
			10*time.Second, time.Millisecond, "bind %q: %+v", key, db.Stats())
	}
}

// A session is one on a server, as its list of them has it.
type session struct {
	id   int64
	does string
}

// list lists the sessions of others on the database of admin's default bind.
func (k kind) list(t *testing.T, admin *echobun.Extension) []session {
	t.Helper()
	rows, err := admin.Engine().QueryContext(t.Context(), k.sessions)
	require.NoError(t, err)
	defer rows.Close()
	var all []session
	for rows.Next() {
		var s session
		require.NoError(t, rows.Scan(&s.id, &s.does))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	return all
}

// killAll ends all sessions of others on the database of admin's default
// bind, and waits until they are gone.
func (k kind) killAll(t *testing.T, admin *echobun.Extension) int {
	t.Helper()
	all := k.list(t, admin)
	for _, s := range all {
		_, err := admin.Engine().ExecContext(t.Context(), fmt.Sprintf(k.kill, s.id))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(k.list(t, admin)) == 0 }, 10*time.Second, time.Millisecond)
	return len(all)
}
