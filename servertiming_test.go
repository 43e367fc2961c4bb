package echobun_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// timingGrammar is one entry of a Server-Timing header as RFC 9110 and the
// specification want it, and this library writes it.
var timingGrammar = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z-]+);desc="(\d+) statements?";dur=\d+\.\d{3}$`)

// timed returns how many statements a header tells of, by its entries' names.
func timed(t *testing.T, h http.Header) map[string]string {
	t.Helper()
	require.LessOrEqual(t, len(h.Values("Server-Timing")), 1, "one header")
	counts := map[string]string{}
	for entry := range strings.SplitSeq(h.Get("Server-Timing"), ", ") {
		if entry == "" {
			continue
		}
		m := timingGrammar.FindStringSubmatch(entry)
		require.NotNil(t, m, entry)
		counts[m[1]] = m[2]
	}
	return counts
}

func (s *atomicServer) timing(atomic bool) echo.MiddlewareFunc {
	return s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: atomic, ServerTiming: true})
}

func (s *atomicServer) send(method, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	return rec
}

func TestServerTiming(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	plain, atomic := s.Group("/plain", s.timing(false)), s.Group("/atomic", s.timing(true), s.timing(true))
	routes := map[string]echo.HandlerFunc{
		"/write": func(c echo.Context) error {
			return errors.Join(s.write(c, c.Path(), false), c.String(http.StatusOK, "x"))
		},
		"/nothing": func(c echo.Context) error { return c.NoContent(http.StatusNoContent) },
		"/silent":  func(c echo.Context) error { return s.write(c, c.Path(), false) },
		"/error":   func(c echo.Context) error { return errors.Join(s.write(c, c.Path(), false), errPlanned) },
	}
	for path, h := range routes {
		plain.Any(path, h)
		atomic.Any(path, h)
	}
	used := func(n string) map[string]string { return map[string]string{"db": n, "db.auth": n} }
	for _, tc := range []struct {
		method, path string
		status       int
		want         map[string]string
	}{
		{http.MethodGet, "/plain/write", 200, used("1")},
		{http.MethodGet, "/plain/nothing", 204, map[string]string{}},
		{http.MethodHead, "/plain/silent", 200, used("1")},
		{http.MethodGet, "/plain/error", 500, used("1")},
		{http.MethodHead, "/atomic/write", 200, used("3")},
		{http.MethodGet, "/atomic/silent", 200, used("3")},
		{http.MethodGet, "/atomic/error", 500, used("3")},
	} {
		rec := s.send(tc.method, tc.path)
		require.Equal(t, tc.status, rec.Code, tc.path)
		require.Equal(t, tc.want, timed(t, rec.Result().Header), tc.path) //nolint:bodyclose // Of a recorder.
	}
}

// A commit that fails takes the handler's headers with it, and not the timing.
func TestServerTimingOfAFailedCommit(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.GET("/", func(c echo.Context) error {
		c.Response().Header().Set("X-Handler", "was here")
		return errors.Join(s.write(c, "x", true), c.String(http.StatusOK, "kept"))
	}, s.timing(true))
	rec := s.send(http.MethodGet, "/")
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	require.Empty(t, rec.Header().Get("X-Handler"))
	require.Equal(t, map[string]string{"db": "4", "db.auth": "3"}, timed(t, rec.Result().Header)) //nolint:bodyclose // Of a recorder.
}

// Statements past the session's doors count too, and what the application says
// in the header stays.
func TestServerTimingOfBunsTransactions(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.GET("/", func(c echo.Context) error {
		c.Response().Header().Set("Server-Timing", "cache;dur=1")
		db := sessionOf(c)
		return db.Bind("auth").RunInTx(context.Background(), nil, func(ctx context.Context, tx bun.Tx) error {
			return ran(tx.NewInsert().Model(&Credit{Name: "a"}).Exec(ctx))
		})
	}, s.timing(false))
	h := s.send(http.MethodGet, "/").Header()
	require.Equal(t, "cache;dur=1", h.Values("Server-Timing")[0])
	require.Contains(t, h.Values("Server-Timing")[1], `db.auth;desc="3 statements"`)
}

// What database/sql prepares because of its arguments counts once, what the
// application prepares as often as it runs.
func TestServerTimingOfPreparedStatements(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.MariaDB(t).URL()})
	for name, tc := range map[string]struct {
		run  func(ctx context.Context, tx bun.Tx) error
		want string
	}{
		"arguments": {oneSleep, "3 statements"},
		"prepared":  {threeSleeps, "5 statements"},
	} {
		e := echo.New()
		e.GET("/", func(c echo.Context) error {
			db := sessionOf(c)
			return db.Bind("").RunInTx(c.Request().Context(), nil, tc.run)
		}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{ServerTiming: true}))
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, http.StatusOK, rec.Code, name)
		require.Regexp(t, `^db;desc="`+tc.want+`";dur=([3-9]\d\d|\d{4,})\.\d{3}$`, rec.Header().Get("Server-Timing"), name)
	}
}

func oneSleep(ctx context.Context, tx bun.Tx) error {
	return ran(tx.Tx.ExecContext(ctx, "DO SLEEP(?)", 0.3))
}

func threeSleeps(ctx context.Context, tx bun.Tx) error {
	stmt, err := tx.PrepareContext(ctx, "SELECT SLEEP(?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for range 2 {
		err = errors.Join(err, ran(stmt.ExecContext(ctx, 0.1)))
	}
	return errors.Join(err, stmt.QueryRowContext(ctx, 0.1).Scan(new(int)))
}

func TestServerTimingThroughGzip(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	answer := func(c echo.Context) error {
		if c.QueryParam("fails") != "" {
			return errors.Join(s.write(c, "f"+c.Path(), false), errPlanned)
		}
		return errors.Join(s.write(c, c.Path(), false), c.String(http.StatusOK, strings.Repeat("x", 5000)))
	}
	s.GET("/outside", answer, middleware.Gzip(), s.timing(true))
	s.GET("/inside", answer, s.timing(true), middleware.Gzip())
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for _, path := range []string{"/outside", "/inside", "/outside?fails=1", "/inside?fails=1"} {
		resp, err := http.Get(server.URL + path)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, errors.Join(err, resp.Body.Close()))
		require.Equal(t, !strings.Contains(path, "fails"), resp.Uncompressed, path)
		require.Equal(t, map[string]string{"db": "3", "db.auth": "3"}, timed(t, resp.Header), path)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServerTimingStreamsAndHijacks(t *testing.T) {
	t.Parallel()
	s := newAtomicServer(t)
	s.GET("/stream", func(c echo.Context) error {
		if err := s.write(c, "s", false); err != nil {
			return err
		}
		_, err := c.Response().Write([]byte("data: 1\n\n"))
		c.Response().Flush()
		return errors.Join(err, http.NewResponseController(c.Response()).Flush())
	}, s.timing(true))
	s.GET("/hijack", func(c echo.Context) error {
		conn, rw, err := c.Response().Hijack()
		if err != nil {
			return err
		}
		defer conn.Close()
		_, _ = fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw")
		return rw.Flush()
	}, s.timing(true))
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"db": "3", "db.auth": "3"}, timed(t, resp.Header))
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Equal(t, "data: 1\n\n", string(body))
	_, err = fmt.Fprint(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(rest), "\r\n\r\nraw"), "%q", rest)
}

func TestServerTimingOfHostileKeys(t *testing.T) {
	t.Parallel()
	for i, key := range []string{"a b", `x";dur=9, evil`, "ключ", ",;=", strings.Repeat("long", 15)} {
		x := newExtension(t, echobun.Config{Binds: echobun.Binds{key: {URL: sqliteURL(t)}}})
		e := echo.New()
		e.GET("/", func(c echo.Context) error {
			db := sessionOf(c)
			return ran(db.Bind(key).ExecContext(c.Request().Context(), "SELECT 1"))
		}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{ServerTiming: true}))
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Len(t, timed(t, rec.Header()), 1, i)
		require.Less(t, len(rec.Header().Get("Server-Timing")), 200)
	}
}
