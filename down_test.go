package echobun_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// silentAddr returns the address of a server that takes connections and says
// nothing.
func silentAddr(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(io.Discard, c) // Until the client leaves.
				_ = c.Close()
			})
		}
	})
	tb.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// downUser has a column that the database fills, so that an insert without
// RETURNING would be seen.
type downUser struct {
	bun.BaseModel `bun:"table:users"`
	authModel
	ID    int64  `bun:",pk,autoincrement"`
	Name  string `bun:",notnull"`
	State string `bun:",nullzero,default:'new'"`
}

type downHit struct {
	bun.BaseModel `bun:"table:hits"`
	metaModel
	ID   int64 `bun:",pk,autoincrement"`
	Path string
}

type downPost struct {
	bun.BaseModel `bun:"table:posts"`
	ID            int64  `bun:",pk,autoincrement"`
	Title         string `bun:",notnull"`
	State         string `bun:",nullzero,default:'draft'"`
}

// downExtension is an extension with two servers that are down, made in no
// time.
func downExtension(t *testing.T, postgres, mysql string) (*echobun.Extension, echo.MiddlewareFunc) {
	t.Helper()
	start := time.Now()
	x := newExtension(t, echobun.Config{
		DatabaseURI: "postgresql://u:secret@" + postgres + "/db",
		Binds: echobun.Binds{
			"auth": {URL: "mysql://u:secret@" + mysql + "/db"},
			"meta": {URL: sqliteURL(t)},
		},
		Defaults: echobun.EngineOptions{ConnectTimeout: 2 * time.Second},
	}, (*downPost)(nil), (*downUser)(nil), (*downHit)(nil), keyed("more"))
	mw := x.Middleware()
	require.Less(t, time.Since(start), 2*time.Second)
	return x, mw
}

// New, Register and Middleware want no server: they succeed at once while
// none answers, and what is up works.
func TestServersDown(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]func(testing.TB) string{"Refused": refusedAddr, "Silent": silentAddr} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, mw := downExtension(t, addr(t), addr(t))
			serveWithBindsDown(t, x, mw)
		})
	}
}

// downAddrs is the variable that makes TestServersDownSilently a process of
// its own, which prints nothing but what the library does.
const downAddrs = "ECHOBUN_CHILD_DOWN"

// They say nothing either, to the default logger or to stderr.
func TestServersDownSilently(t *testing.T) {
	t.Parallel()
	if postgres, mysql, child := strings.Cut(os.Getenv(downAddrs), " "); child {
		downExtension(t, postgres, mysql)
		return
	}
	for name, addr := range map[string]func(testing.TB) string{"Refused": refusedAddr, "Silent": silentAddr} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestServersDownSilently$") //nolint:gosec // This very program.
			cmd.Env = append(os.Environ(), downAddrs+"="+addr(t)+" "+addr(t))
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "PASS: TestServersDownSilently")
			require.NotContains(t, string(out), "Silent/", "the child ran as a child")
			require.Empty(t, stderr.String())
		})
	}
}

// serveWithBindsDown makes requests while only "meta" is up.
func serveWithBindsDown(t *testing.T, x *echobun.Extension, mw echo.MiddlewareFunc) {
	t.Helper()
	ctx, _ := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx, "meta"))

	e := echo.New()
	e.Use(mw)
	e.GET("/meta", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck,forcetypeassert // A panic fails the test.
		_, err := db.NewInsert().Model(new(downHit)).Exec(c.Request().Context())
		return err
	})
	for path, model := range map[string]any{"/auth": &downUser{Name: "A"}, "/posts": &downPost{Title: "A"}} {
		e.GET(path, func(c echo.Context) error {
			db := c.Get("db").(*echobun.Session) //nolint:errcheck,forcetypeassert // A panic fails the test.
			_, err := db.NewInsert().Model(model).Exec(c.Request().Context())
			require.ErrorIs(t, err, echobun.ErrUnavailable)
			return echo.NewHTTPError(http.StatusServiceUnavailable).SetInternal(err)
		})
	}
	for path, want := range map[string]int{"/meta": http.StatusOK, "/auth": http.StatusServiceUnavailable, "/posts": http.StatusServiceUnavailable} {
		rec := httptest.NewRecorder()
		start := time.Now()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, want, rec.Code, path)
		require.Less(t, time.Since(start), 10*time.Second)
	}
	require.Equal(t, 1, catalogueOf(t, x.Engines(), "meta").count("hits"))
	for key, db := range x.Engines() {
		require.Zero(t, db.Stats().InUse, "bind %q", key)
	}
}

// When a server comes back, the next request uses it, with all that its
// dialect can.
func TestServersComeBack(t *testing.T) {
	t.Parallel()
	servers := map[string]*dbtest.Server{"": dbtest.StartPostgres(t), "auth": dbtest.StartMariaDB(t)}
	for _, s := range servers {
		s.Stop()
	}
	x := newExtension(t, echobun.Config{
		DatabaseURI: servers[""].URL(),
		Binds:       echobun.Binds{"auth": {URL: servers["auth"].URL()}, "meta": {URL: sqliteURL(t)}},
	}, (*downPost)(nil), (*downUser)(nil), (*downHit)(nil))
	ctx, s := newSession(t, x)

	for round := range 3 {
		require.ErrorIs(t, insertPost(ctx, s), echobun.ErrUnavailable, "round %d", round)
		require.ErrorIs(t, insertUser(ctx, s), echobun.ErrUnavailable, "round %d", round)
		_, err := s.Bind("meta").ExecContext(ctx, "SELECT 1")
		require.NoError(t, err)

		for _, server := range servers {
			server.Start()
		}
		if round == 0 {
			require.NoError(t, x.CreateAll(ctx))
		}
		require.NoError(t, insertPost(ctx, s), "round %d", round)
		require.NoError(t, insertUser(ctx, s), "round %d", round)
		for key, server := range servers {
			if round == 1 {
				server.Kill()
			} else {
				server.Stop()
			}
			require.Zero(t, x.Engines()[key].Stats().InUse)
		}
	}
}

// insertPost inserts a row on PostgreSQL, and wants the default column back.
func insertPost(ctx context.Context, s *echobun.Session) error {
	post := &downPost{Title: "A"}
	_, err := s.NewInsert().Model(post).Exec(ctx)
	if err == nil && (post.ID == 0 || post.State != "draft") {
		return errDefaults
	}
	return err
}

// insertUser inserts a row on MariaDB, and wants the default column back: the
// dialect has to know that this server has RETURNING.
func insertUser(ctx context.Context, s *echobun.Session) error {
	user := &downUser{Name: "A"}
	_, err := s.NewInsert().Model(user).Exec(ctx)
	if err == nil && (user.ID == 0 || user.State != "new") {
		return errDefaults
	}
	return err
}

var errDefaults = errors.New("the insert did not return what the database filled in")
