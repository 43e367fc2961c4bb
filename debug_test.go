package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// debugServer is an application on two SQLite files with a debug page.
func debugServer(t *testing.T, cfg echobun.Config) (*echo.Echo, *echobun.Extension) {
	t.Helper()
	cfg.DatabaseURI, cfg.Logger = sqliteURL(t), slog.New(slog.DiscardHandler)
	if cfg.Binds == nil {
		cfg.Binds = echobun.Binds{"auth": {URL: sqliteURL(t)}}
	}
	x := newExtension(t, cfg, (*book)(nil), (*routedNote)(nil))
	ctx, end := x.AppContext(t.Context())
	defer end()
	require.NoError(t, x.CreateAll(ctx, echobun.DefaultBind, "auth"))

	e := echo.New()
	e.Use(middleware.Recover(), x.Middleware())
	e.Logger.SetOutput(new(logBook)) // Of the panics.
	e.GET("/debug/db", x.DebugHandler())
	return e, x
}

// debugPage returns the page, as it is and as its text.
func debugPage(t *testing.T, e *echo.Echo) (page, text string) {
	t.Helper()
	rec := request(e, http.MethodGet, "/debug/db")
	require.Equal(t, http.StatusOK, rec.Code)
	page = rec.Body.String()
	text = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>`).ReplaceAllString(page, " ")
	return page, strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}

// sends is a handler that sends statements to binds.
func sends(binds map[string]int, statement string, args ...any) echo.HandlerFunc {
	return func(c echo.Context) error {
		for bind, n := range binds {
			for range n {
				if _, err := sessionOf(c).Bind(bind).ExecContext(c.Request().Context(), statement, args...); err != nil {
					return err
				}
			}
		}
		return c.NoContent(http.StatusNoContent)
	}
}

func TestDebugPage(t *testing.T) {
	t.Parallel()
	e, _ := debugServer(t, echobun.Config{RecordQueries: true, SlowQuery: time.Hour})
	e.GET("/items/:id", sends(map[string]int{"": 1, "auth": 2}, "SELECT 1"))
	_, text := debugPage(t, e)
	require.Contains(t, text, "None yet.")
	require.Contains(t, text, "(default) up SQLite · answered in")
	require.Contains(t, text, "auth up SQLite · answered in")
	require.Contains(t, text, "books 4 columns · echobun_test.book")
	require.Contains(t, text, "title varchar(80) not null, unique")
	require.Contains(t, text, "notes 2 columns · echobun_test.routedNote")

	require.Equal(t, http.StatusNoContent, request(e, http.MethodGet, "/items/17").Code)
	page, text := debugPage(t, e)
	require.Contains(t, text, "the last 1 of 1, with 3 statements")
	require.Regexp(t, `GET /items/:id 204 .*\(default\) 1 .*`, text)
	require.Contains(t, text, "auth 2")
	require.Contains(t, text, "Statements on this page 1 auth up")
	require.Regexp(t, `SELECT \? [^ /]+/debug_test\.go:\d+ `, text)
	require.Equal(t, 3, strings.Count(page, `class="bar mini`))
	require.NotContains(t, text, "N+1:")
	require.NotContains(t, text, " slow ")
	require.NotContains(t, text, "/debug/db", "the page's own requests are not on it")
}

// TestDebugPageMarks plants what is to be marked.
func TestDebugPageMarks(t *testing.T) {
	t.Parallel()
	e, _ := debugServer(t, echobun.Config{RecordQueries: true, SlowQuery: time.Nanosecond})
	e.GET("/n+1", sends(map[string]int{"": 2, "auth": 5}, "SELECT ?", 1))
	request(e, http.MethodGet, "/n+1")
	page, text := debugPage(t, e)
	require.Contains(t, text, "1 with slow statements 1 with repeated statements (N+1)")
	require.Contains(t, text, "GET /n+1 204 N+1: 5× 7 slow")
	require.Regexp(t, `auth N\+1: the same statement 5 times from [^ /]+/debug_test\.go:\d+ , .* SELECT \? Bind`, text)
	require.NotContains(t, text, "the same statement 2 times")
	require.Equal(t, 6, strings.Count(page, `>N+1: 5×<`), "at the request and at each of them")

	// The same statement of other lines, and what begins and ends
	// transactions, is no N+1.
	e, _ = debugServer(t, echobun.Config{RecordQueries: true, SlowQuery: time.Hour})
	e.GET("/", func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		for range 3 {
			err := db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				return ran(tx.NewRaw(fmt.Sprintf("SELECT 1 AS a%d", time.Now().UnixNano())).Exec(ctx))
			})
			if err != nil {
				return err
			}
		}
		_ = ran(db.NewRaw("SELECT 7").Exec(ctx))
		_ = ran(db.NewRaw("SELECT 7").Exec(ctx))
		_ = ran(db.NewRaw("SELECT 7").Exec(ctx))
		return nil
	})
	request(e, http.MethodGet, "/")
	_, text = debugPage(t, e)
	require.Contains(t, text, "with 12 statements")
	require.Contains(t, text, "COMMIT")
	require.NotContains(t, text, "N+1:")
}

// TestDebugPageShowsHowRequestsEnd has requests fail in every way.
func TestDebugPageShowsHowRequestsEnd(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true})
	fails := func(err error) echo.HandlerFunc { return func(echo.Context) error { return err } }
	e.GET("/http", fails(echo.NewHTTPError(http.StatusTeapot, "no coffee")))
	e.GET("/plain", fails(errors.New("something else")))
	e.GET("/panic", func(echo.Context) error { panic(logMarker) })
	e.GET("/answered", func(c echo.Context) error {
		c.Error(echo.ErrForbidden)
		return nil
	})
	atomically := x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true})
	e.POST("/unique", func(c echo.Context) error {
		tx := sessionOf(c)
		if err := addBook(c.Request().Context(), tx.Bind(""), logMarker); err != nil {
			return err
		}
		return addBook(c.Request().Context(), tx.Bind(""), logMarker)
	}, atomically)
	for _, path := range []string{"/http", "/plain", "/panic", "/answered", "/nowhere"} {
		request(e, http.MethodGet, path)
	}
	request(e, http.MethodPost, "/unique")
	page, text := debugPage(t, e)
	for _, want := range []string{
		"GET /http 418 no statements", "no coffee", "GET /plain 500", "something else", "GET /panic 500", "panic It sent",
		"GET /answered 403", "404", "POST /unique 500 1 failed (default) 4", "default bind: INSERT: constraint failed", "ROLLBACK",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, page, logMarker)

	// An error handler of one's own has the last word.
	e.HTTPErrorHandler = func(_ error, c echo.Context) { _ = c.NoContent(http.StatusPaymentRequired) }
	request(e, http.MethodGet, "/plain")
	_, text = debugPage(t, e)
	require.Contains(t, text, "GET /plain 402")
}

// TestDebugPageHidesArguments looks for values that a careless page would show.
func TestDebugPageHidesArguments(t *testing.T) {
	t.Parallel()
	for _, args := range []bool{false, true} {
		e, x := debugServer(t, echobun.Config{
			RecordQueries: true, LogArgs: args,
			Binds: echobun.Binds{
				"auth": {URL: sqliteURL(t)},
				"down": {URL: "postgresql://someone:pa55w0rd@127.0.0.1:1/x"},
			},
		})
		e.GET("/:secret", func(c echo.Context) error {
			ctx, db := c.Request().Context(), sessionOf(c)
			_ = addBook(ctx, db.Bind(""), logMarker)
			_ = addBook(ctx, db.Bind(""), logMarker)
			_ = db.NewSelect().Model(new(book)).Where("title = ?", logMarker).Scan(ctx)
			_ = ran(db.NewRaw("SELECT '" + logMarker + "'").Exec(ctx))
			_ = ran(db.Bind("down").ExecContext(ctx, "SELECT ?", logMarker))
			return ran(db.NewRaw("SELECT ? FROM nowhere", logMarker).Exec(ctx))
		})
		request(e, http.MethodGet, "/url"+logMarker+"?token="+logMarker)
		page, text := debugPage(t, e)
		require.Contains(t, text, "down down PostgreSQL")
		require.NotContains(t, page, "pa55w0rd")
		require.NotContains(t, page, "url"+logMarker)
		require.NotContains(t, page, "token")
		if args {
			require.Contains(t, page, logMarker)
			require.Contains(t, text, "with their arguments")
		} else {
			require.NotContains(t, page, logMarker)
			require.Contains(t, text, "Arguments are not shown")
		}
		require.Len(t, x.Engines(), 3)
	}
}

// TestDebugPageEscapes has keys, names and statements that try to be HTML.
func TestDebugPageEscapes(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert('x')</script><b>`
	e, x := debugServer(t, echobun.Config{
		RecordQueries: true, LogArgs: true,
		Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}, hostile: {URL: sqliteURL(t)}},
	})
	require.NoError(t, x.Register(&echobun.Table{Name: "t", BindKey: hostile, Columns: []echobun.Column{
		{Name: "c", Type: echobun.SQL("text" + hostile), Default: hostile},
	}}))
	e.GET("/"+hostile, func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		for range 3 {
			_, err := db.Bind(hostile).ExecContext(ctx, `SELECT ? AS "`+strings.ReplaceAll(hostile, `"`, "")+`"`, hostile)
			require.NoError(t, err)
		}
		return errors.New(hostile)
	})
	e.Add(strings.ToUpper(hostile), "/", func(echo.Context) error { return nil })
	req := httptest.NewRequest(http.MethodGet, "/x", nil)
	req.URL.Path = "/" + hostile
	e.ServeHTTP(httptest.NewRecorder(), req)
	req = httptest.NewRequest(http.MethodGet, "/", nil)
	req.Method = strings.ToUpper(hostile)
	e.ServeHTTP(httptest.NewRecorder(), req)

	page, _ := debugPage(t, e)
	require.Contains(t, page, "N+1: 3×")
	require.Contains(t, page, "&lt;script&gt;alert(")
	require.Contains(t, page, "&lt;SCRIPT&gt;")
	require.NotContains(t, strings.ToLower(page), "<script")
	require.NotContains(t, page, "<b>\"")
	require.NotContains(t, page, "ZgotmplZ")
}

// TestDebugPagePolicy asserts that the page needs nothing but itself.
func TestDebugPagePolicy(t *testing.T) {
	t.Parallel()
	e, _ := debugServer(t, echobun.Config{RecordQueries: true})
	e.GET("/", sends(map[string]int{"": 3}, "SELECT 1"))
	request(e, http.MethodGet, "/")
	nonces := make(map[string]bool)
	for range 2 {
		rec := request(e, http.MethodGet, "/debug/db")
		page, policy := rec.Body.String(), rec.Header().Get(echo.HeaderContentSecurityPolicy)
		require.Equal(t, "no-store", rec.Header().Get(echo.HeaderCacheControl))
		nonce := regexp.MustCompile(`style-src 'nonce-(\w+)'`).FindStringSubmatch(policy)
		require.Len(t, nonce, 2, policy)
		require.Contains(t, policy, "default-src 'none'")
		require.Contains(t, page, `<style nonce="`+nonce[1]+`">`)
		nonces[nonce[1]] = true
		require.NotRegexp(t, `(?i)<script|\sstyle=|\son\w+=|https?://|url\(|@import|<link[^>]*href="[^d]`, page)
	}
	require.Len(t, nonces, 2)
}

// TestDebugPageOff is about what there is without records.
func TestDebugPageOff(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{})
	e.GET("/", sends(map[string]int{"": 1}, "SELECT 1"))
	request(e, http.MethodGet, "/")
	require.Zero(t, x.DebugRequests())
	_, text := debugPage(t, e)
	require.Contains(t, text, "Statements are not recorded.")
	require.Contains(t, text, "echobun.Config{RecordQueries: true}")
	require.NotContains(t, text, "GET /")
}

// TestDebugPageNotMounted asserts that nothing is remembered for a page that
// is not there.
func TestDebugPageNotMounted(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), RecordQueries: true})
	e := echo.New()
	e.Use(x.Middleware())
	e.GET("/", sends(map[string]int{"": 1}, "SELECT 1"))
	request(e, http.MethodGet, "/")
	require.Zero(t, x.DebugRequests())

	handler := x.DebugHandler()
	e.GET("/debug/db", handler)
	request(e, http.MethodGet, "/")
	require.Equal(t, 1, x.DebugRequests(), "from now on")
	request(e, http.MethodGet, "/debug/db")
	require.Equal(t, 1, x.DebugRequests())
}

// TestDebugPageClosed still says something.
func TestDebugPageClosed(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true})
	require.NoError(t, x.Close())
	_, text := debugPage(t, e)
	require.Contains(t, text, "(default) down SQLite echobun: extension is closed")
}
