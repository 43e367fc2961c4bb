package survive_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// A visitor is a client that leaves while its query runs.
type visitor struct {
	name, method, path string
	body               string
	unnoticed          bool // Echo cannot know that it has left.
}

var visitors = []visitor{
	{name: "query", method: http.MethodGet, path: "/plain"},
	{name: "transaction", method: http.MethodGet, path: "/tx"},
	{name: "atomic request", method: http.MethodGet, path: "/atomic"},
	{name: "body that is read", method: http.MethodPost, path: "/read", body: "some"},
	{name: "body that is not read", method: http.MethodPost, path: "/plain", body: "some", unnoticed: true},
}

// TestClientLeaves has clients leave in the middle of a query. It is stopped
// on the server.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			server := k.fresh(t)
			x := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
			admin := openExtension(t, echobun.Config{DatabaseURI: server.URL(), EngineOptions: echobun.EngineOptions{MaxOpenConns: 1}})
			site := httptest.NewServer(newSleeper(x, k))
			defer site.Close()
			var worst time.Duration
			longest := map[string]time.Duration{}
			for range pick(3, 20) {
				for _, v := range visitors {
					took := k.visit(t, admin, site.URL, v)
					if !v.unnoticed {
						worst, longest[v.name] = max(worst, took), max(longest[v.name], took)
					}
				}
			}
			t.Logf("gone from the server after %v at most", longest)
			require.Less(t, worst, pick(5*time.Second, time.Second))
		})
	}
}

// newSleeper returns an application whose queries take 3 s.
func newSleeper(x *echobun.Extension, k kind) *echo.Echo {
	e := newServer(x)
	sleep := func(ctx context.Context, s *echobun.Session) error {
		_, err := s.Bind("").ExecContext(ctx, fmt.Sprintf(k.sleep, 3.0))
		return err
	}
	plain := func(c echo.Context) error { return sleep(c.Request().Context(), dbOf(c)) }
	e.Any("/plain", plain)
	e.GET("/atomic", plain, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	e.GET("/tx", func(c echo.Context) error { return dbOf(c).RunInTx(c.Request().Context(), nil, sleep) })
	e.POST("/read", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return plain(c)
	})
	return e
}

// visit has a client come, leave once its query runs, and returns how long
// the query is still there.
func (k kind) visit(t *testing.T, admin *echobun.Extension, site string, v visitor) time.Duration {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, v.method, site+v.path, strings.NewReader(v.body))
	require.NoError(t, err)
	if v.body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	left := make(chan error, 1)
	go func() {
		resp, err := client.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		left <- err
	}()
	require.Eventually(t, func() bool { return k.sleeping(t, admin) == 1 }, 10*time.Second, time.Millisecond, v.name)

	leave()
	start := time.Now()
	require.Error(t, <-left, v.name)
	if v.unnoticed {
		time.Sleep(500 * time.Millisecond) // It would be gone by then.
		require.Equal(t, 1, k.sleeping(t, admin), "the README says that this is not noticed")
	}
	require.Eventually(t, func() bool { return k.sleeping(t, admin) == 0 }, 20*time.Second, time.Millisecond, v.name)
	return time.Since(start)
}

// sleeping returns how many queries sleep.
func (k kind) sleeping(t *testing.T, admin *echobun.Extension) int {
	t.Helper()
	n := 0
	for _, s := range k.list(t, admin) {
		if strings.Contains(strings.ToLower(s.does), "sleep(") {
			n++
		}
	}
	return n
}
