package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/echobun/echobun"
)

// Mistakes that only a driver sees are errors of New too, all of them.
func TestNewDriverFaults(t *testing.T) {
	t.Parallel()
	_, err := echobun.New(echobun.Config{
		DatabaseURI: "sqlite://",
		Binds: echobun.Binds{
			"a": {URL: "mysql://u:secret@h/db?charset=gbk"},
			"b": {URL: "postgresql://u:secret@h/db?sslmode=perhaps"},
		},
	})
	require.Error(t, err)
	for _, bind := range []string{"a", "b"} {
		require.ErrorContains(t, err, fmt.Sprintf("config of bind %q: URL: ", bind))
	}
	require.NotContains(t, err.Error(), "secret")
}

func TestEnginesAreSeparate(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	x := newExtension(t, echobun.Config{DatabaseURI: url, Binds: echobun.Binds{"same": {URL: url}, "memory": {URL: "sqlite://"}, "more": {URL: "sqlite://"}}})
	engines := x.Engines()
	require.Len(t, engines, 4)
	require.NotSame(t, engines[""], engines["same"], "two binds are two pools, also with one URL")
	require.NotSame(t, engines[""].Dialect(), engines["same"].Dialect(), "a dialect holds the tables of one engine")

	catalogueOf(t, engines, "").exec("CREATE TABLE t (id INTEGER)")
	require.Equal(t, []string{"t"}, catalogueOf(t, engines, "same").tables())
	catalogueOf(t, engines, "memory").exec("CREATE TABLE m (id INTEGER)")
	require.Empty(t, catalogueOf(t, engines, "more").tables(), "two in-memory binds are two databases")

	delete(engines, "")
	require.Len(t, x.Engines(), 4, "the map is the caller's own")
}

func TestClose(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, err := echobun.New(echobun.Config{DatabaseURI: url(t), Binds: echobun.Binds{"auth": {URL: "sqlite://"}}})
			require.NoError(t, err)
			require.NoError(t, x.Register(keyed("entries")))
			ctx, s := newSession(t, x)
			_, err = s.NewRaw("SELECT 1").Exec(ctx)
			require.NoError(t, err)
			uses := endedUses(s)

			require.NoError(t, x.Close())
			require.NoError(t, x.Close(), "idempotent")
			for use, run := range uses {
				require.ErrorIs(t, run(ctx), echobun.ErrClosed, use)
			}
			_, err = x.Session(ctx)
			require.ErrorIs(t, err, echobun.ErrClosed)
			_, err = x.Session(t.Context())
			require.ErrorIs(t, err, echobun.ErrClosed)
			late, end := x.AppContext(t.Context())
			_, err = x.Session(late)
			require.ErrorIs(t, err, echobun.ErrClosed)
			require.ErrorIs(t, x.CreateAll(late), echobun.ErrClosed)
			require.ErrorIs(t, x.DropAll(late, "nope"), echobun.ErrClosed)
			end()
			for key, db := range x.Engines() {
				require.Zero(t, db.Stats().OpenConnections, "bind %q", key)
				require.ErrorContains(t, db.PingContext(t.Context()), "closed")
			}
		})
	}
}

// closeFails is a bun.DB's driver whose connections fail to close.
func TestCloseJoinsErrors(t *testing.T) {
	t.Parallel()
	x, err := echobun.New(echobun.Config{
		DatabaseURI: "sqlite://",
		Binds:       echobun.Binds{"a": {URL: "fakedb://closes-badly/1"}, "b": {URL: "fakedb://closes-badly/2"}, "c": {URL: "sqlite://"}},
	})
	require.NoError(t, err)
	err = x.Close()
	require.ErrorIs(t, err, errFakeClose)
	for _, key := range []string{"a", "b"} {
		require.ErrorContains(t, err, fmt.Sprintf("bind %q: close: ", key))
	}
	var joined interface{ Unwrap() []error }
	require.True(t, errors.As(err, &joined))
	require.Len(t, joined.Unwrap(), 2)
	require.NoError(t, x.Close())
	require.Error(t, x.Engines()["c"].PingContext(t.Context()), "one that fails does not keep the others open")
}

// An engine of the user's own is used as it is and never closed.
func TestOwnEngine(t *testing.T) {
	t.Parallel()
	inner := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	raw, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	raw.SetMaxOpenConns(1)
	own := bun.NewDB(raw, sqlitedialect.New())
	t.Cleanup(func() { require.NoError(t, own.Close()) })

	type Post struct {
		ID    int64 `bun:",pk,autoincrement"`
		Title string
	}
	type User struct {
		authModel
		ID   int64 `bun:",pk,autoincrement"`
		Name string
	}
	x, err := echobun.New(echobun.Config{
		EngineOptions: echobun.EngineOptions{DB: inner.Engine()},
		Binds:         echobun.Binds{"auth": {DB: own}},
	})
	require.NoError(t, err)
	require.NoError(t, x.Register((*Post)(nil), (*User)(nil)))
	require.Same(t, own, x.Engines()["auth"])

	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.NoError(t, x.CreateAll(ctx))
	_, err = s.NewInsert().Model(&User{ID: 1, Name: "A"}).Exec(ctx)
	require.NoError(t, err)
	_, err = s.NewInsert().Model(&User{ID: 1, Name: "B"}).Exec(ctx)
	require.ErrorIs(t, err, echobun.ErrUnique)
	var bind *echobun.BindError
	require.ErrorAs(t, err, &bind)
	require.Equal(t, "auth", bind.Bind)
	require.Equal(t, "INSERT", bind.Op)
	_, err = s.NewInsert().Model(&Post{ID: 1}).Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, catalogueOf(t, x.Engines(), "auth").count("users"))

	require.NoError(t, x.Close())
	require.NoError(t, own.PingContext(t.Context()), "Close leaves it open")
	require.NoError(t, inner.Engine().PingContext(t.Context()), "Close leaves it open")
	_, err = s.NewSelect().Model((*User)(nil)).Count(ctx)
	require.ErrorIs(t, err, echobun.ErrClosed)
}

// However an Extension is printed, no URL shows.
func TestExtensionPrints(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "postgresql://u:secret@127.0.0.1:1/db"})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "x", x)
	require.Contains(t, log.String(), "echobun.Extension(1 engines)")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		require.Equal(t, "echobun.Extension(1 engines)", fmt.Sprintf(verb, x), verb)
	}
	require.Equal(t, "echobun.Extension(1 engines)", x.String())
	require.Equal(t, x.String(), x.GoString())
}

func TestNewLeavesContextsAlone(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://", Binds: echobun.Binds{"auth": {URL: "sqlite://"}}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, end := x.AppContext(ctx)
	end()
	for key, db := range x.Engines() {
		require.Zero(t, db.Stats().OpenConnections, "New opens no connection: bind %q", key)
	}
}
