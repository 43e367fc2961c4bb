package echobun_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

func TestDebugPageBounds(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true, LogArgs: true})
	e.GET("/:n", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	e.GET("/long", sends(map[string]int{"": 1}, "SELECT 1 AS "+strings.Repeat("x", 1<<20)))
	request(e, http.MethodGet, "/long")
	require.Less(t, x.DebugBytes(), 10_000, "what is not shown is not kept")
	e.GET("/many", sends(map[string]int{"": 1003}, "SELECT 1 AS "+strings.Repeat("ü", 3000)))
	for range 70 {
		request(e, http.MethodGet, "/1")
	}
	request(e, http.MethodGet, "/many")
	request(e, http.MethodGet, "/last")
	page, text := debugPage(t, e)
	require.Contains(t, text, "the last 50 of 73, with 1003 statements")
	require.Equal(t, 50, strings.Count(page, `<details class="request`))
	require.Less(t, strings.Index(text, "GET /:n"), strings.Index(text, "GET /many"), "the newest is first")
	require.Contains(t, text, "GET /many 204 N+1: 1000×")
	require.Contains(t, text, "800 more are not shown. 3 more were not recorded.")
	require.Contains(t, text, "… (")
	require.Less(t, len(page), 2<<20)
}

// TestDebugPageBudget has clients send much, to a server that complains of it.
func TestDebugPageBudget(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true, LogArgs: true})
	e.GET("/", func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		for i := range 20 {
			// SQLite quotes the path.
			err := ran(db.NewRaw("SELECT json_extract('{}', ?)", fmt.Sprintf("%d %s", i, c.QueryParam("path"))).Exec(ctx))
			require.ErrorContains(t, err, c.QueryParam("path"))
		}
		return c.NoContent(http.StatusNoContent)
	})
	e.GET("/distinct", func(c echo.Context) error {
		ctx, db := c.Request().Context(), sessionOf(c)
		for i := range 500 {
			_ = ran(db.NewRaw("SELECT 1 AS "+strings.Repeat("x", 3000)+"?", bun.Safe(strconv.Itoa(i))).Exec(ctx))
		}
		return c.NoContent(http.StatusNoContent)
	})
	for range 60 {
		request(e, http.MethodGet, "/?path="+strings.Repeat("x", 100<<10))
	}
	_, text := debugPage(t, e)
	require.Regexp(t, `the last 50 of 60, with 1000 statements, in 7\.\d MiB of at most 8\.0 MiB`, text[:1000], "20 texts and 20 errors of 4 KB each")

	without := regexp.MustCompile("x{9,}")
	for range 3 {
		request(e, http.MethodGet, "/distinct")
	}
	_, text = debugPage(t, e)
	require.Regexp(t, `\b1\d\d more were not recorded`, without.ReplaceAllString(text, ""), "of 500 there is room for some 330")
	require.Regexp(t, `the last (3\d|4[0-5]) of 63`, text[:1000], "the oldest have made room")
	require.LessOrEqual(t, x.DebugBytes(), 8<<20)
	statements, room := x.DebugRoom()
	require.Equal(t, statements, room, "what was cut off is not kept either")
}

// TestDebugPageCopies asserts that a text on the page keeps nothing alive that
// it was a part of.
func TestDebugPageCopies(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true})
	var sent []weak.Pointer[[1 << 20]byte]
	part := func(text string) string {
		large := new([1 << 20]byte)
		copy(large[:], text)
		sent = append(sent, weak.Make(large))
		return unsafe.String(&large[0], len(text))
	}
	e.Any("/", func(c echo.Context) error {
		_ = ran(sessionOf(c).NewRaw(part("SELECT nonsense FROM nowhere")).Exec(c.Request().Context()))
		return errors.New(part("a problem"))
	})
	serve := func() {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method = part(http.MethodPatch)
		e.ServeHTTP(httptest.NewRecorder(), req)
	}
	serve()
	_, text := debugPage(t, e)
	require.Contains(t, text, "PATCH / 500 1 failed")
	require.Contains(t, text, "a problem")
	require.Equal(t, 1, x.DebugRequests())
	for i := range sent {
		require.Eventually(t, func() bool {
			runtime.GC()
			return sent[i].Value() == nil
		}, 10*time.Second, 10*time.Millisecond, i)
	}
}

// TestDebugPageAtOnce serves requests and pages side by side.
func TestDebugPageAtOnce(t *testing.T) {
	t.Parallel()
	e, x := debugServer(t, echobun.Config{RecordQueries: true})
	e.GET("/", sends(map[string]int{"": 2, "auth": 3}, "SELECT 1"))
	e.GET("/fails", func(echo.Context) error { return errors.New("late answer") })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				request(e, http.MethodGet, "/")
				request(e, http.MethodGet, "/fails")
			}
		})
		all.Go(func() {
			for range 5 {
				request(e, http.MethodGet, "/debug/db")
			}
		})
	}
	all.Wait()
	require.Equal(t, 50, x.DebugRequests())
	_, text := debugPage(t, e)
	require.Contains(t, text, "the last 50 of 320")
}
