package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// sessionOf returns the session that the middleware has left under "db".
func sessionOf(c echo.Context) *echobun.Session {
	s, _ := c.Get("db").(*echobun.Session)
	return s
}

// request sends a request through the application, as net/http would.
func request(e *echo.Echo, method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec
}

// scopeExtension is an extension whose sessions can be looked at without a server.
func scopeExtension(t *testing.T) *echobun.Extension {
	t.Helper()
	return newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
}

// requireEnded requires that the app context of a session has ended.
func requireEnded(t *testing.T, s *echobun.Session) {
	t.Helper()
	require.NotNil(t, s)
	_, err := s.NewRaw("SELECT 1").Exec(context.Background())
	require.ErrorIs(t, err, echobun.ErrAppContextEnded)
}

// The rows of the end-to-end test, one kind on each bind.
type (
	scopePost struct {
		bun.BaseModel `bun:"table:rows"`
		ID            int64 `bun:",pk,autoincrement"`
		Request       int
	}
	scopeUser struct {
		bun.BaseModel `bun:"table:rows"`
		authModel
		ID      int64 `bun:",pk,autoincrement"`
		Request int
	}
	scopeHit struct {
		bun.BaseModel `bun:"table:rows"`
		metaModel
		ID      int64 `bun:",pk,autoincrement"`
		Request int
	}
)

// 200 requests at once over three databases, whose tables have one name: each
// request has a session of its own, and every row is where it belongs.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeDatabases(t), (*scopePost)(nil), (*scopeUser)(nil), (*scopeHit)(nil))
	ctx, _ := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))

	var seen sync.Map
	e := echo.New()
	e.Use(middleware.Recover(), x.Middleware())
	e.POST("/:n", func(c echo.Context) error {
		db, ctx := sessionOf(c), c.Request().Context()
		if again, err := x.Session(ctx); err != nil || again != db {
			return errors.New("the request's context has another session")
		}
		if _, shared := seen.LoadOrStore(db, true); shared {
			return errors.New("a session is shared")
		}
		return scopeRows(ctx, db, c.Param("n"))
	})
	server := httptest.NewServer(e)
	defer server.Close()

	const requests = 200
	var running sync.WaitGroup
	for n := range requests {
		running.Go(func() {
			res, err := server.Client().Post(fmt.Sprintf("%s/%d", server.URL, n), "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				t.Errorf("request %d: %d %s", n, res.StatusCode, body)
			}
		})
	}
	running.Wait()
	requireRows(t, x, requests)
	seen.Range(func(s, _ any) bool {
		requireEnded(t, s.(*echobun.Session)) //nolint:errcheck,forcetypeassert // There are no others.
		return true
	})
}

// scopeRows makes n modulo 3 rows plus one on the binds that come after
// another, so that each bind has another count.
func scopeRows(ctx context.Context, db *echobun.Session, param string) error {
	var n int
	if _, err := fmt.Sscan(param, &n); err != nil {
		return err
	}
	models := []any{&scopePost{Request: n}, &scopeUser{Request: n}, &scopeHit{Request: n}}
	for _, model := range models[:n%3+1] {
		if _, err := db.NewInsert().Model(model).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// requireRows requires that each bind has the rows of its requests, once each.
func requireRows(t *testing.T, x *echobun.Extension, requests int) {
	t.Helper()
	for i, key := range []string{"", "auth", "meta"} {
		want, got := []int{}, []int{}
		for n := range requests {
			if n%3 >= i {
				want = append(want, n)
			}
		}
		require.NoError(t, x.Engines()[key].NewSelect().Table("rows").Column("request").Order("request").Scan(t.Context(), &got))
		require.Equal(t, want, got, "bind %q", key)
		require.Zero(t, x.Engines()[key].Stats().InUse, "bind %q", key)
	}
}

func TestRequestWithoutQuery(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: "postgresql://u@" + refusedAddr(t) + "/db",
		Binds:       echobun.Binds{"auth": {URL: "mysql://u@" + refusedAddr(t) + "/db"}, "meta": {URL: sqliteURL(t)}},
	})
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/", func(c echo.Context) error {
		_ = sessionOf(c).NewSelect().Model((*scopePost)(nil)).Where("id = 1") // Never run.
		_ = sessionOf(c).Bind("meta")
		return c.NoContent(http.StatusNoContent)
	})
	for range 50 {
		require.Equal(t, http.StatusNoContent, request(e, http.MethodGet, "/").Code)
	}
	for key, db := range x.Engines() {
		stats := db.Stats()
		require.Zero(t, stats.OpenConnections, "bind %q", key)
		require.Zero(t, stats.WaitCount, "bind %q", key)
	}
}

// Each request's app context ends, whatever its handler does, and what the
// handler returned reaches Echo untouched.
func TestMiddlewareOutcomes(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, tt := range []struct {
		name    string
		handler echo.HandlerFunc
		err     error // What has to come out of the middleware, the same value.
		code    int
	}{
		{"OK", func(c echo.Context) error { return c.String(http.StatusTeapot, "tea") }, nil, http.StatusTeapot},
		{"Silent", func(echo.Context) error { return nil }, nil, http.StatusOK},
		{"Error", func(echo.Context) error { return plain }, plain, http.StatusInternalServerError},
		{"HTTPError", func(echo.Context) error { return echo.ErrNotFound }, echo.ErrNotFound, http.StatusNotFound},
		{"CError", func(c echo.Context) error { c.Error(echo.ErrConflict); return nil }, nil, http.StatusConflict},
		{"AfterWrite", func(c echo.Context) error { return errors.Join(c.String(http.StatusOK, "sent"), nil) }, nil, http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := scopeExtension(t)
			e := echo.New()
			var got error
			var s *echobun.Session
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error { got = next(c); return got }
			}, x.Middleware())
			e.GET("/", func(c echo.Context) error {
				s = sessionOf(c)
				if _, err := s.NewRaw("SELECT 1").Exec(c.Request().Context()); err != nil {
					return err
				}
				return tt.handler(c)
			})
			require.Equal(t, tt.code, request(e, http.MethodGet, "/").Code)
			require.True(t, got == tt.err, "%v", got) //nolint:errorlint,testifylint // It has to be the very same.
			requireEnded(t, s)
		})
	}
}

func TestMiddlewareWithoutHandler(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, "body") })
	e.HEAD("/", func(c echo.Context) error {
		_, err := sessionOf(c).NewRaw("SELECT 1").Exec(c.Request().Context())
		return errors.Join(err, c.NoContent(http.StatusAccepted))
	})
	require.Equal(t, http.StatusNotFound, request(e, http.MethodGet, "/nowhere").Code)
	require.Equal(t, http.StatusMethodNotAllowed, request(e, http.MethodPut, "/").Code)
	require.Equal(t, http.StatusNoContent, request(e, http.MethodOptions, "/").Code)
	require.Equal(t, http.StatusAccepted, request(e, http.MethodHead, "/").Code)
}

func TestMiddlewareSkipper(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.MiddlewareWithConfig(echobun.MiddlewareConfig{
		Skipper: func(c echo.Context) bool { return c.Path() == "/health" },
	}))
	handler := func(c echo.Context) error {
		_, err := x.Session(c.Request().Context())
		return c.String(http.StatusOK, fmt.Sprint(c.Get("db") != nil, errors.Is(err, echobun.ErrNoAppContext)))
	}
	e.GET("/health", handler)
	e.GET("/", handler)
	require.Equal(t, "false true", request(e, http.MethodGet, "/health").Body.String())
	require.Equal(t, "true false", request(e, http.MethodGet, "/").Body.String())
}

// Installed again it uses the app context that is there, under its own key too.
func TestMiddlewareTwice(t *testing.T) {
	t.Parallel()
	x := scopeExtension(t)
	e := echo.New()
	e.Use(x.Middleware())
	group := e.Group("/group", x.Middleware(), x.MiddlewareWithConfig(echobun.MiddlewareConfig{ContextKey: "group"}))
	afterInner := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := next(c); err != nil {
				return err
			}
			_, err := sessionOf(c).NewRaw("SELECT 1").Exec(c.Request().Context())
			return err // The inner middleware must not have ended it.
		}
	}
	group.GET("/", func(c echo.Context) error {
		s, err := x.Session(c.Request().Context())
		same := err == nil && s != nil && c.Get("db") == s && c.Get("group") == s && c.Get("route") == s
		return c.String(http.StatusOK, strconv.FormatBool(same))
	}, afterInner, x.MiddlewareWithConfig(echobun.MiddlewareConfig{ContextKey: "route"}))
	rec := request(e, http.MethodGet, "/group/")
	require.Equal(t, "true", rec.Body.String())
	require.Equal(t, http.StatusOK, rec.Code)
}

func TestTwoExtensions(t *testing.T) {
	t.Parallel()
	one, two := scopeExtension(t), scopeExtension(t)
	e := echo.New()
	var got error
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error { got = next(c); return got }
	}, one.Middleware())
	e.GET("/same", func(echo.Context) error { t.Error("the handler runs"); return nil }, two.Middleware())
	e.GET("/own", func(c echo.Context) error {
		ctx := c.Request().Context()
		first, err := one.Session(ctx)
		second, err2 := two.Session(ctx)
		require.NoError(t, errors.Join(err, err2))
		require.True(t, c.Get("db") == first && c.Get("two") == second && first != second)
		return nil
	}, two.MiddlewareWithConfig(echobun.MiddlewareConfig{ContextKey: "two"}), one.Middleware())

	require.Equal(t, http.StatusInternalServerError, request(e, http.MethodGet, "/same").Code)
	require.ErrorContains(t, got, `two extensions use the context key "db": give one of them another MiddlewareConfig.ContextKey`)
	require.Equal(t, http.StatusOK, request(e, http.MethodGet, "/own").Code)
	require.NoError(t, got)
}

func TestToMiddleware(t *testing.T) {
	t.Parallel()
	mw, err := echobun.MiddlewareConfig{}.ToMiddleware(nil)
	require.Nil(t, mw)
	require.ErrorContains(t, err, "middleware of a nil Extension")
	require.Panics(t, func() { (*echobun.Extension)(nil).MiddlewareWithConfig(echobun.MiddlewareConfig{}) })
	require.Panics(t, func() { (*echobun.Extension)(nil).Middleware() })
	mw, err = echobun.MiddlewareConfig{}.ToMiddleware(scopeExtension(t))
	require.NoError(t, err)
	require.NotNil(t, mw)
}
