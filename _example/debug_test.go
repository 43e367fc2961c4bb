package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// authorsOneByOne is what a debug page is for: it asks for the author of each
// post by itself.
func authorsOneByOne(c echo.Context) error {
	ctx, db := c.Request().Context(), session(c)
	posts, err := newestPosts(ctx, db)
	if err != nil {
		return err
	}
	for _, post := range posts {
		if err := db.NewSelect().Model(new(User)).Where("id = ?", post.AuthorID).Scan(ctx); err != nil {
			return err
		}
	}
	return c.NoContent(http.StatusNoContent)
}

// TestDebugPage looks at the debug page with a browser.
func TestDebugPage(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	m := mixes[1]
	cfg := m.config(t)
	cfg.RecordQueries = true
	e := newExample(t, cfg)
	e.GET("/test/authors", authorsOneByOne)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)

	status, _ := postJSON(t, e, "/api/posts", `{"title": "s3cr3t", "author_id": 1}`)
	require.Equal(t, http.StatusCreated, status)
	status, _ = get(t, e, "/api/posts/999")
	require.Equal(t, http.StatusNotFound, status)
	status, _ = get(t, e, "/test/authors")
	require.Equal(t, http.StatusNoContent, status)

	tab := openURL(browser, t, srv.URL+"/debug/db")
	text := func(selector string) string {
		t.Helper()
		seen, err := chromedp.Run(tab, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).innerText", selector)))
		require.NoError(t, err, selector)
		return strings.Join(strings.Fields(seen), " ")
	}
	require.Equal(t, "up", text("#status"))
	for i, want := range []string{"(default) up PostgreSQL", "auth up MySQL", "meta up SQLite"} {
		require.Contains(t, text(fmt.Sprintf("#binds article:nth-child(%d)", i+1)), want)
	}
	require.Contains(t, text("#binds [data-bind=auth]"), "Statements on this page 4")

	require.Contains(t, text("#requests .head"), "the last 3 of 3, with 9 statements")
	require.Equal(t, "1 with repeated statements (N+1)", text("#repeaters"))
	newest := "#requests details:nth-of-type(1)"
	require.Contains(t, text(newest+" summary"), "GET /test/authors 204 N+1: 3×")
	require.Contains(t, text(newest+" summary"), "(default) 1 auth 3")
	require.Contains(t, text(newest+" .repeat"), "auth N+1: the same statement 3 times from ")
	require.Contains(t, text(newest+" .repeat"), "/debug_test.go:")
	require.Contains(t, text("#requests details:nth-of-type(2) summary"), "GET /api/posts/:id 404")
	require.Contains(t, text("#requests details:nth-of-type(3) summary"), "POST /api/posts 201")

	html, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.documentElement.outerHTML`))
	require.NoError(t, err)
	require.NotContains(t, html, "s3cr3t", "no arguments")
	requireDrawn(tab, t)

	// The box leaves those that have something marked.
	shown := func() int {
		t.Helper()
		n, err := chromedp.Run(tab, chromedp.Evaluate[int](`[...document.querySelectorAll(".request")].filter(r => r.checkVisibility()).length`))
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 3, shown())
	require.NoError(t, chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](`document.querySelector("#only").click()`)))
	require.Equal(t, 1, shown())
}

// requireDrawn asserts that the page's own policy lets its style through, and
// that the bars of the newest request follow each other.
func requireDrawn(tab context.Context, t *testing.T) {
	t.Helper()
	bars, err := chromedp.Run(tab, chromedp.Evaluate[[]bar](`[...document.querySelectorAll(".request[open] .statements .bar")].map(b => {
		const box = b.getBoundingClientRect(), track = b.parentNode.getBoundingClientRect();
		return {left: box.left - track.left, right: box.right - track.left, track: track.width, fill: getComputedStyle(b).fill};
	})`))
	require.NoError(t, err)
	require.Len(t, bars, 4)
	for i, b := range bars {
		require.Greater(t, b.Right, b.Left)
		require.GreaterOrEqual(t, b.Left, -1.0)
		require.LessOrEqual(t, b.Right, b.Track+1)
		require.NotEqual(t, "rgb(0, 0, 0)", b.Fill)
		if i > 0 {
			require.GreaterOrEqual(t, b.Left, bars[i-1].Left)
		}
	}
	require.NotEqual(t, bars[0].Fill, bars[1].Fill, "a colour for each bind")
	require.Equal(t, bars[1].Fill, bars[2].Fill)
}

// A bar is a statement on the timeline, in pixels.
type bar struct {
	Left  float64 `json:"left"`
	Right float64 `json:"right"`
	Track float64 `json:"track"`
	Fill  string  `json:"fill"`
}

// TestDebugPageIsNotForOthers asks for the page from another machine, and where
// it is turned off.
func TestDebugPageIsNotForOthers(t *testing.T) {
	cfg := onSQLite(t)
	e := newExample(t, cfg)
	from := func(e *echo.Echo, addr string) int {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/db", nil)
		req.RemoteAddr = addr
		req.Header.Set(echo.HeaderXForwardedFor, "127.0.0.1")
		req.Header.Set(echo.HeaderXRealIP, "127.0.0.1")
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		return rec.Code
	}
	require.Equal(t, http.StatusOK, from(e, "127.0.0.1:4711"))
	require.Equal(t, http.StatusOK, from(e, "[::1]:4711"))
	require.Equal(t, http.StatusNotFound, from(e, "192.0.2.1:4711"))

	t.Setenv("EXAMPLE_DEBUG", "false")
	require.Equal(t, http.StatusNotFound, from(newExample(t, cfg), "127.0.0.1:4711"))
	require.False(t, debugging())
	quiet, err := config()
	require.NoError(t, err)
	require.False(t, quiet.RecordQueries)
}
