package echobun_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// An atomicServer is an Echo application on two SQLite files, on the first of
// which a commit fails if an orphan was inserted.
type atomicServer struct {
	*echo.Echo

	x    *echobun.Extension
	errs []error // What the error handler was given.
}

func newAtomicServer(t *testing.T) *atomicServer {
	t.Helper()
	s := &atomicServer{Echo: echo.New()}
	s.x = newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}, "meta": {URL: "sqlite://"}},
	}, txModels()...)
	ctx, _ := newSession(t, s.x)
	require.NoError(t, s.x.CreateAll(ctx))
	makeOrphans(t, s.x.Engine())
	s.HTTPErrorHandler = func(err error, c echo.Context) {
		s.errs = append(s.errs, err)
		s.DefaultHTTPErrorHandler(err, c)
	}
	return s
}

// makeOrphans makes a table "orphans" on SQLite, a row of which is refused when
// it is committed.
func makeOrphans(t *testing.T, db *bun.DB) {
	t.Helper()
	for _, ddl := range []string{
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE orphans (id INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
	} {
		_, err := db.ExecContext(t.Context(), ddl)
		require.NoError(t, err)
	}
}

// atomically installs the middleware.
func (s *atomicServer) atomically() echo.MiddlewareFunc {
	return s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true})
}

// write inserts a row on two binds, and an orphan if the commit has to fail.
func (s *atomicServer) write(c echo.Context, name string, fails bool) error {
	ctx, db := c.Request().Context(), c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
	if _, err := db.NewInsert().Model(&Credit{Name: name}).Exec(ctx); err != nil {
		return err
	}
	if fails {
		if _, err := db.NewRaw("INSERT INTO orphans VALUES (1)").Exec(ctx); err != nil {
			return err
		}
	}
	_, err := db.NewInsert().Model(&Debit{Name: name}).Exec(ctx)
	return err
}

func (s *atomicServer) do(method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(method, path, strings.NewReader("body")))
	return rec
}

// callsError is a middleware in the manner of otelecho: it has errors answered
// at once, and returns them too.
func callsError(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		return err
	}
}

// rewraps is a net/http middleware with a writer of its own.
func rewraps(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
}

var (
	errOfHandler = echo.NewHTTPError(http.StatusTeapot, "handler says no")
	around       = map[string]echo.MiddlewareFunc{
		"nothing":        func(next echo.HandlerFunc) echo.HandlerFunc { return next },
		"Logger":         middleware.LoggerWithConfig(middleware.LoggerConfig{Output: io.Discard}), //nolint:staticcheck // Many still use it.
		"Gzip":           middleware.Gzip(),
		"BodyDump":       middleware.BodyDump(func(echo.Context, []byte, []byte) {}),
		"BodyLimit":      middleware.BodyLimit("1M"),
		"ContextTimeout": middleware.ContextTimeout(time.Minute),
		"RequestID":      middleware.RequestID(),
		"calls c.Error":  callsError,
		"WrapMiddleware": echo.WrapMiddleware(rewraps),
		"RequestLogger": middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
			HandleError: true, LogValuesFunc: func(echo.Context, middleware.RequestLoggerValues) error { return nil },
		}),
	}
)

// answers are what handlers do after they have written to the databases.
var answers = map[string]struct {
	answer func(c echo.Context) error
	status int
	body   string
	kept   bool
}{
	"JSON":            {func(c echo.Context) error { return c.JSON(http.StatusCreated, 1) }, 201, "1\n", true},
	"no content":      {func(c echo.Context) error { return c.NoContent(http.StatusNoContent) }, 204, "", true},
	"redirect":        {func(c echo.Context) error { return c.Redirect(http.StatusSeeOther, "/there") }, 303, "", true},
	"nothing":         {func(echo.Context) error { return nil }, 200, "", true},
	"stream":          {func(c echo.Context) error { return c.Stream(200, "text/plain", strings.NewReader("stream")) }, 200, "stream", true},
	"file":            {func(c echo.Context) error { return c.File("LICENSE") }, 200, licence(), true},
	"direct write":    {func(c echo.Context) error { _, err := c.Response().Writer.Write([]byte("direct")); return err }, 200, "direct", true},
	"conflict":        {func(c echo.Context) error { return c.String(http.StatusConflict, "no") }, 409, "no", false},
	"error":           {func(echo.Context) error { return errOfHandler }, 418, "{\"message\":\"handler says no\"}\n", false},
	"panic":           {func(echo.Context) error { panic("handler") }, 500, "{\"message\":\"Internal Server Error\"}\n", false},
	"c.Error, no err": {func(c echo.Context) error { c.Error(errOfHandler); return nil }, 418, "{\"message\":\"handler says no\"}\n", false},
}

func licence() string {
	b, _ := os.ReadFile("LICENSE")
	return string(b)
}

func TestAtomicArrangements(t *testing.T) {
	t.Parallel()
	for name, mw := range around {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, mw, func(t *testing.T, s *atomicServer, chain []echo.MiddlewareFunc) {
				t.Helper()
				s.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }}))
				s.testAnswers(t, chain)
			})
		})
	}
}

func TestAtomicRecoverInside(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.testAnswers(t, []echo.MiddlewareFunc{s.atomically(), middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err },
	})})
}

// testAnswers tries each answer with a commit that succeeds and one that fails.
func (s *atomicServer) testAnswers(t *testing.T, chain []echo.MiddlewareFunc) {
	t.Helper()
	for name, a := range answers {
		for _, fails := range []bool{false, true} {
			row := fmt.Sprint(name, fails)
			s.GET("/"+strings.ReplaceAll(row, " ", "_"), func(c echo.Context) error {
				c.Response().Header().Set("X-Handler", "was here")
				if err := s.write(c, row, fails); err != nil {
					return err
				}
				return a.answer(c)
			}, chain...)
			s.errs = nil
			rec := s.do(http.MethodGet, "/"+strings.ReplaceAll(row, " ", "_"))
			if a.kept && fails {
				s.requireRefused(t, rec, row)
			} else {
				require.Equal(t, a.status, rec.Code, row)
				require.Equal(t, a.body, rec.Body.String(), row)
				rows := 0
				if a.kept {
					rows = 1
				}
				requireNamed(t, s.x, row, rows, rows, 0)
			}
			requireAtRest(t, s.x)
		}
	}
}

// requireRefused asserts that a commit failed, and what the client saw of it.
func (s *atomicServer) requireRefused(t *testing.T, rec *httptest.ResponseRecorder, row string) {
	t.Helper()
	require.Equal(t, http.StatusInternalServerError, rec.Code, row)
	require.Equal(t, "{\"message\":\"Internal Server Error\"}\n", rec.Body.String(), row)
	for _, h := range []string{"X-Handler", "Location", "Etag", "Last-Modified", "Content-Encoding"} {
		require.Empty(t, rec.Header().Get(h), "%s %s", row, h)
	}
	require.NotEmpty(t, s.errs, row)
	for _, err := range s.errs {
		partial, plain := err.(*echobun.CommitError) //nolint:errorlint // The error handler gets it unwrapped: that is what is tested.
		require.True(t, plain, "%T: %v", err, err)
		require.ErrorIs(t, err, echobun.ErrForeignKey)
		require.Equal(t, []string{"auth"}, partial.Committed)
		require.Equal(t, []string{""}, partial.Failed)
	}
	requireNamed(t, s.x, row, 0, 1, 0) // "auth" was used, and committed, first.
}

func TestAtomicCommitsBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	var order []string
	s.GET("/", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		require.True(t, db.InTx())
		inCtx, err := s.x.Session(c.Request().Context())
		require.NoError(t, err)
		require.Same(t, db, inCtx)
		require.NoError(t, s.write(c, "first", false))
		requireNamed(t, s.x, "first", 0, 0, 0)
		db.AfterCommit(func(context.Context) { order = append(order, "committed") })
		if err := c.String(http.StatusOK, "x"); err != nil {
			return err
		}
		order = append(order, "answered")
		requireNamed(t, s.x, "first", 1, 1, 0)
		requireAtRest(t, s.x)
		c.Response().Flush()
		require.NoError(t, s.write(c, "second", false))
		requireNamed(t, s.x, "second", 0, 0, 0)
		return nil
	}, s.atomically())
	rec := s.do(http.MethodGet, "/")
	require.Equal(t, "x", rec.Body.String())
	require.Equal(t, []string{"committed", "answered"}, order)
	requireNamed(t, s.x, "second", 1, 1, 0)
	requireAtRest(t, s.x)
}

// What waits for the commit runs before the answer, may write one itself, and
// never runs if the commit fails.
func TestAtomicAfterCommit(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.GET("/:fails", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		fails := c.Param("fails") == "true"
		if err := s.write(c, c.Param("fails"), fails); err != nil {
			return err
		}
		db.AfterCommit(func(context.Context) {
			if fails {
				t.Error("it has not committed")
			}
			_, _ = c.Response().Writer.Write([]byte("after "))
		})
		return c.String(http.StatusOK, "answer")
	}, s.atomically())
	require.Equal(t, "after answer", s.do(http.MethodGet, "/false").Body.String())
	require.Equal(t, http.StatusInternalServerError, s.do(http.MethodGet, "/true").Code)
}

func TestAtomicJoins(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	outside := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
			require.False(t, db.InTx(), "the outer session is back")
			inCtx, sessionErr := s.x.Session(c.Request().Context())
			require.NoError(t, sessionErr)
			require.Same(t, db, inCtx)
			return err
		}
	}
	s.GET("/twice", func(c echo.Context) error {
		if err := s.write(c, "twice", false); err != nil {
			return err
		}
		return errOfHandler
	}, s.x.Middleware(), outside, s.atomically(), s.atomically())
	require.Equal(t, http.StatusTeapot, s.do(http.MethodGet, "/twice").Code)
	requireNamed(t, s.x, "twice", 0, 0, 0)

	s.GET("/options", func(echo.Context) error { t.Error("it ran"); return nil }, s.atomically(),
		s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true, TxOptions: &echobun.TxOptions{ReadOnly: true}}))
	require.Equal(t, http.StatusInternalServerError, s.do(http.MethodGet, "/options").Code)
	var wrong *echobun.ConfigError
	require.ErrorAs(t, s.errs[len(s.errs)-1], &wrong)
	require.Equal(t, "TxOptions.ReadOnly", wrong.Field)
	requireAtRest(t, s.x)
}

func TestAtomicConfig(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	for name, cfg := range map[string]echobun.MiddlewareConfig{
		"options without Atomic": {TxOptions: &echobun.TxOptions{}},
		"rule without Atomic":    {CommitStatus: func(int) bool { return true }},
		"retries":                {Atomic: true, TxOptions: &echobun.TxOptions{Retries: 1}},
		"unknown bind":           {Atomic: true, TxOptions: &echobun.TxOptions{Order: []string{"no"}}},
	} {
		_, err := cfg.ToMiddleware(x)
		require.Error(t, err, name)
	}
}

func TestAtomicCommitStatus(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.GET("/:status", func(c echo.Context) error {
		if err := s.write(c, c.Param("status"), false); err != nil {
			return err
		}
		if c.Param("status") == "404" {
			return c.NoContent(http.StatusNotFound)
		}
		return c.NoContent(http.StatusOK)
	}, s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true, CommitStatus: func(status int) bool { return status == 404 }}))
	s.do(http.MethodGet, "/404")
	s.do(http.MethodGet, "/200")
	requireNamed(t, s.x, "404", 1, 1, 0)
	requireNamed(t, s.x, "200", 0, 0, 0)
}
