package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// What waits for a commit also runs if it was asked for after the answer had
// begun, or by something that had waited.
func TestAtomicAfterCommitLate(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	var order []string
	note := func(name string) func(context.Context) {
		return func(context.Context) { order = append(order, name) }
	}
	for path, tc := range map[string]struct {
		answer func(c echo.Context, db *echobun.Session) error
		want   []string
	}{
		"late": {func(c echo.Context, db *echobun.Session) error {
			err := c.NoContent(http.StatusNoContent)
			db.AfterCommit(note("late"))
			return err
		}, []string{"late"}},
		"inside": {func(c echo.Context, db *echobun.Session) error {
			db.AfterCommit(func(context.Context) { db.AfterCommit(note("inside")) })
			return c.NoContent(http.StatusNoContent)
		}, []string{"inside"}},
		"refused": {func(c echo.Context, db *echobun.Session) error {
			err := c.NoContent(http.StatusNotFound)
			db.AfterCommit(note("never"))
			return err
		}, nil},
		"failed": {func(c echo.Context, db *echobun.Session) error {
			err := c.NoContent(http.StatusNoContent)
			db.AfterCommit(note("never"))
			return errors.Join(err, errOfHandler)
		}, nil},
	} {
		s.GET("/"+path, func(c echo.Context) error {
			if err := s.write(c, path, false); err != nil {
				return err
			}
			return tc.answer(c, c.Get("db").(*echobun.Session)) //nolint:errcheck // A test.
		}, s.atomically())
		order = nil
		s.do(http.MethodGet, "/"+path)
		require.Equal(t, tc.want, order, path)
		requireAtRest(t, s.x)
	}
}

// The answer to a commit that failed has the headers and hooks that were there
// before the middleware, and none of the handler's.
func TestAtomicRefusedAnswerIsNotTheHandlers(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Header().Set("X-Outer", "stays")
			c.Response().Before(func() { c.Response().Header().Set("X-Outer-Hook", "stays") })
			return next(c)
		}
	}, s.atomically())
	hooks := 0
	s.GET("/", func(c echo.Context) error {
		c.SetCookie(&http.Cookie{Name: "session", Value: "handler's"})
		h := c.Response().Header()
		h.Set("X-Outer", "changed")
		h.Set(echo.HeaderContentLength, "3")
		h.Set("Etag", `"x"`)
		c.Response().Before(func() { h.Set("Location", "/handler's"); h.Add("Set-Cookie", "hook=1") })
		c.Response().After(func() { hooks++ })
		if err := s.write(c, "refused", true); err != nil {
			return err
		}
		return c.String(http.StatusCreated, "abc")
	})
	rec := s.do(http.MethodGet, "/")
	s.requireRefused(t, rec, "refused")
	require.Equal(t, "stays", rec.Header().Get("X-Outer"))
	require.Equal(t, "stays", rec.Header().Get("X-Outer-Hook"))
	require.Equal(t, 1, hooks, "by the handler's answer, and not by the error's")
}

// A stream whose commit has failed hears of it, and ends.
func TestAtomicRefusedStreamEnds(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(c echo.Context) error{
		"write": func(c echo.Context) error { _, err := fmt.Fprint(c.Response(), "data: x\n\n"); return err },
		"flush": func(c echo.Context) error { return http.NewResponseController(c.Response().Writer).Flush() },
	} {
		s := newAtomicServer(t)
		s.Use(s.atomically())
		sent := 0
		s.GET("/", func(c echo.Context) error {
			if err := s.write(c, name, true); err != nil {
				return err
			}
			c.Response().Header().Set(echo.HeaderContentType, "text/event-stream")
			for sent < 1000 && send(c) == nil {
				sent++
			}
			return nil
		})
		s.requireRefused(t, s.do(http.MethodGet, "/"), name)
		require.Zero(t, sent, name)
	}
}

// A deadline that ends inside of a request rolls back on every bind, on both
// sides of the middleware that sets it.
func TestAtomicContextTimeout(t *testing.T) {
	t.Parallel()
	timeout := middleware.ContextTimeout(50 * time.Millisecond)
	for _, inside := range []bool{false, true} {
		s := newAtomicServer(t)
		chain := []echo.MiddlewareFunc{timeout, s.atomically()}
		if inside {
			chain = []echo.MiddlewareFunc{s.atomically(), timeout}
		}
		s.GET("/", func(c echo.Context) error {
			_ = s.write(c, "late", false)
			<-c.Request().Context().Done()
			return c.Request().Context().Err()
		}, chain...)
		require.Equal(t, http.StatusServiceUnavailable, s.do(http.MethodGet, "/").Code, inside)
		requireNamed(t, s.x, "late", 0, 0, 0)
		requireAtRest(t, s.x)
	}
}

// Inside of a net/http middleware Echo has made a response whose status is 0
// as long as nothing was written: it will be 200.
func TestAtomicCommitStatusOfNothing(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	var asked []int
	s.GET("/", func(c echo.Context) error { return s.write(c, "nothing", false) },
		s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true, CommitStatus: func(status int) bool {
			asked = append(asked, status)
			return status >= 200 && status < 300
		}}), echo.WrapMiddleware(rewraps))
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/").Code)
	require.Equal(t, []int{http.StatusOK}, asked)
	requireNamed(t, s.x, "nothing", 1, 1, 0)
}

// A commit that fails after the answer has begun is logged, without what the
// database quotes of a value.
func TestLateCommitIsLoggedWithoutValues(t *testing.T) {
	t.Parallel()
	for _, args := range []bool{false, true} {
		log := new(logBook)
		x := newExtension(t, echobun.Config{DatabaseURI: threeDatabases(t).Binds["auth"].URL, LogArgs: args, Logger: log.logger()}, (*book)(nil))
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		require.NoError(t, addBook(ctx, db.Bind(""), logMarker))
		e := echo.New()
		e.Logger.SetOutput(io.Discard)
		e.GET("/", func(c echo.Context) error {
			db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
			err := c.NoContent(http.StatusNoContent)
			_ = addBook(c.Request().Context(), db.Bind(""), logMarker)
			return err
		}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
		log.take(t)
		request(e, http.MethodGet, "/")
		records, text := log.take(t)
		require.Len(t, records, 1)
		require.Equal(t, "echobun: statements after the response has begun are lost", records[0]["msg"])
		require.Contains(t, records[0]["error"], "default bind")
		require.Equal(t, args, strings.Contains(text, logMarker))
	}
}

// What cannot be done is refused before anything is committed.
func TestAtomicRefusesWhatTheWriterCannot(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(c echo.Context) error{
		"hijack": func(c echo.Context) error {
			_, _, err := c.Response().Hijack()
			return err
		},
		"hijack by controller": func(c echo.Context) error {
			_, _, err := http.NewResponseController(c.Response()).Hijack()
			return err
		},
		"flush":               func(c echo.Context) error { c.Response().Flush(); return nil },
		"flush by controller": func(c echo.Context) error { return http.NewResponseController(c.Response().Writer).Flush() },
		"status 0":            func(c echo.Context) error { return c.NoContent(0) },
		"status 99":           func(c echo.Context) error { return c.String(99, "x") },
		"status 1000":         func(c echo.Context) error { return c.String(1000, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAtomicServer(t)
			s.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true}), s.atomically())
			s.GET("/", func(c echo.Context) error {
				if err := s.write(c, "row", false); err != nil {
					return err
				}
				return answer(c)
			})
			rec := httptest.NewRecorder()
			s.ServeHTTP(struct{ http.ResponseWriter }{rec}, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
			require.Equal(t, http.StatusInternalServerError, rec.Code)
			requireNamed(t, s.x, "row", 0, 0, 0)
			requireAtRest(t, s.x)
		})
	}
}
