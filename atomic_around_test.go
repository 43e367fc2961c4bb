package echobun_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
)

// bothWays runs a test with a middleware outside of the atomic one, and inside.
func bothWays(t *testing.T, mw echo.MiddlewareFunc, run func(t *testing.T, s *atomicServer, chain []echo.MiddlewareFunc)) {
	t.Helper()
	for _, inside := range []bool{false, true} {
		t.Run(fmt.Sprintf("inside %v", inside), func(t *testing.T) {
			t.Parallel()
			s := newAtomicServer(t)
			chain := []echo.MiddlewareFunc{mw, s.atomically()}
			if inside {
				chain = []echo.MiddlewareFunc{s.atomically(), mw}
			}
			run(t, s, chain)
		})
	}
}

// TestAtomicGzip has the answer compressed, and that of a refused commit too
// where the compression goes around it.
func TestAtomicGzip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("compressible ", 100)
	bothWays(t, middleware.Gzip(), func(t *testing.T, s *atomicServer, chain []echo.MiddlewareFunc) {
		for _, fails := range []bool{false, true} {
			row := fmt.Sprint("gzip", fails)
			s.GET("/"+row, func(c echo.Context) error {
				if err := s.write(c, row, fails); err != nil {
					return err
				}
				return c.String(http.StatusCreated, long)
			}, chain...)
			req := httptest.NewRequest(http.MethodGet, "/"+row, nil)
			req.Header.Set("Accept-Encoding", "gzip")
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, req)
			body := decoded(t, rec)
			if fails {
				require.Equal(t, http.StatusInternalServerError, rec.Code)
				require.JSONEq(t, `{"message": "Internal Server Error"}`, body)
				requireNamed(t, s.x, row, 0, 1, 0)
			} else {
				require.Equal(t, http.StatusCreated, rec.Code)
				require.Equal(t, "gzip", rec.Header().Get("Content-Encoding"))
				require.Equal(t, long, body)
				requireNamed(t, s.x, row, 1, 1, 0)
			}
			requireAtRest(t, s.x)
		}
	})
}

// decoded returns an answer's body, decompressed if its header says so.
func decoded(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	if rec.Header().Get("Content-Encoding") == "" {
		return rec.Body.String()
	}
	r, err := gzip.NewReader(rec.Body)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// TestAtomicBodyLimit has a handler find out, after it has written, that the
// request's body is too long.
func TestAtomicBodyLimit(t *testing.T) {
	t.Parallel()
	bothWays(t, middleware.BodyLimit("1K"), func(t *testing.T, s *atomicServer, chain []echo.MiddlewareFunc) {
		s.POST("/", func(c echo.Context) error {
			if err := s.write(c, "too long", false); err != nil {
				return err
			}
			if _, err := io.ReadAll(c.Request().Body); err != nil {
				return err
			}
			return c.NoContent(http.StatusCreated)
		}, chain...)
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2048)))
		req.ContentLength = -1 // Chunked: the length is not known before it is read.
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		require.Equal(t, http.StatusRequestEntityTooLarge, rec.Code)
		requireNamed(t, s.x, "too long", 0, 0, 0)
		requireAtRest(t, s.x)
	})
}
