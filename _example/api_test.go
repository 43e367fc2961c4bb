package main

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestAPI(t *testing.T) {
	t.Parallel()
	for _, m := range mixes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			e := newExample(t, m.config(t))

			status, body := postJSON(t, e, "/api/users", `{"name": " Barbara Liskov "}`)
			require.Equal(t, http.StatusCreated, status, body)
			require.JSONEq(t, `{"id": 3, "name": "Barbara Liskov"}`, body)
			status, body = postJSON(t, e, "/api/users", `{"name": "Barbara Liskov"}`)
			require.Equal(t, http.StatusConflict, status, body)
			_, body = get(t, e, "/api/users")
			require.Equal(t, 3, strings.Count(body, `"name"`), body)

			status, body = postJSON(t, e, "/api/posts", `{"title": "It's 100 % \\ \"quoted\" ☃?", "author_id": 3}`)
			require.Equal(t, http.StatusCreated, status, body)
			created := `{"id": 3, "title": "It's 100 % \\ \"quoted\" ☃?", "author_id": 3}`
			require.JSONEq(t, created, body)
			status, body = get(t, e, "/api/posts/3")
			require.Equal(t, http.StatusOK, status)
			require.JSONEq(t, created, body)
			_, body = get(t, e, "/api/posts")
			require.Equal(t, 3, strings.Count(body, `"title"`), body)

			_, body = get(t, e, "/api/hits")
			require.JSONEq(t, `[
				{"path": "/api/posts", "hits": 1},
				{"path": "/api/posts/:id", "hits": 1},
				{"path": "/api/users", "hits": 1}
			]`, body)
		})
	}
}

// An author and the first post are in two databases, and come together or not
// at all.
func TestAPIAuthors(t *testing.T) {
	t.Parallel()
	for _, m := range mixes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			e := newExample(t, m.config(t))
			status, body := postJSON(t, e, "/api/authors", `{"name": "Barbara Liskov", "title": "First"}`)
			require.Equal(t, http.StatusCreated, status, body)
			require.JSONEq(t, `{"id": 3, "title": "First", "author_id": 3}`, body)
			status, body = postJSON(t, e, "/api/authors", `{"name": "Barbara Liskov", "title": "Second"}`)
			require.Equal(t, http.StatusConflict, status, body)
			_, body = get(t, e, "/api/posts")
			require.NotContains(t, body, "Second", "its author was refused")
			require.Contains(t, body, "First")
		})
	}
}

func TestAPIRefuses(t *testing.T) {
	t.Parallel()
	e := newExample(t, onSQLite(t))
	for _, tc := range []struct {
		name, method, path, contentType, body string
		status                                int
		says                                  string
	}{
		{name: "no such post", path: "/api/posts/99", status: http.StatusNotFound},
		{name: "an id that is none", path: "/api/posts/one", status: http.StatusBadRequest, says: "is a number"},
		{name: "no such route", path: "/api/comments", status: http.StatusNotFound},
		{name: "a method", method: http.MethodDelete, path: "/api/posts/1", status: http.StatusMethodNotAllowed},
		{name: "no JSON", path: "/api/posts", body: `{"title"`, status: http.StatusBadRequest},
		{name: "a wrong type", path: "/api/posts", body: `{"title": 7}`, status: http.StatusBadRequest, says: "title"},
		{name: "no content type", path: "/api/posts", contentType: "text/plain", body: `{}`, status: http.StatusUnsupportedMediaType},
		{name: "no title", path: "/api/posts", body: `{"title": "  ", "author_id": 1}`, status: http.StatusBadRequest, says: "title is missing"},
		{name: "a long title", path: "/api/posts", body: `{"title": "` + strings.Repeat("ä", 201) + `", "author_id": 1}`, status: http.StatusBadRequest, says: "200 characters"},
		{name: "a NUL", path: "/api/posts", body: `{"title": "a\u0000b", "author_id": 1}`, status: http.StatusBadRequest, says: "one line"},
		{name: "no UTF-8", path: "/api/posts", contentType: echo.MIMEApplicationForm, body: "title=%ff&author_id=1", status: http.StatusBadRequest, says: "one line"},
		{name: "an unknown author", path: "/api/posts", body: `{"title": "x", "author_id": 99}`, status: http.StatusBadRequest, says: "author_id"},
		{name: "no name", path: "/api/users", body: `{}`, status: http.StatusBadRequest, says: "name is missing"},
		{name: "too much", path: "/api/users", body: strings.Repeat(" ", 65<<10), status: http.StatusRequestEntityTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.contentType == "" {
				tc.contentType = echo.MIMEApplicationJSON
			}
			if tc.method == "" {
				tc.method = http.MethodGet
				if tc.body != "" {
					tc.method = http.MethodPost
				}
			}
			status, body := send(t, e, tc.method, tc.path, tc.contentType, tc.body)
			require.Equal(t, tc.status, status, body)
			require.Contains(t, body, `{"message":`)
			require.Contains(t, body, tc.says)
		})
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	t.Parallel()
	e := newExample(t, onSQLite(t))
	for _, tc := range []struct {
		name   string
		err    error
		status int
	}{
		{"pool timeout", echobun.ErrPoolTimeout, http.StatusServiceUnavailable},
		{"anything else", errors.New("secret detail"), http.StatusInternalServerError},
	} {
		path := "/fails/" + strings.ReplaceAll(tc.name, " ", "-")
		e.GET(path, func(echo.Context) error { return &echobun.BindError{Bind: "auth", Op: "SELECT", Err: tc.err} })
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			status, body := get(t, e, path)
			require.Equal(t, tc.status, status, body)
			require.NotContains(t, body, "secret")
		})
	}
}

func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	cfg := onSQLite(t)
	server := dbtest.StartMariaDB(t)
	cfg.Binds["auth"] = echobun.EngineOptions{URL: server.URL()}
	e := newExample(t, cfg)

	server.Stop()
	status, body := get(t, e, "/api/users")
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.JSONEq(t, `{"message": "Service Unavailable"}`, body)
	status, _ = get(t, e, "/api/posts")
	require.Equal(t, http.StatusOK, status, "the other databases are there")

	server.Start()
	status, body = get(t, e, "/api/users")
	require.Equal(t, http.StatusOK, status, body)
}

func TestFirstHitsAtOnce(t *testing.T) {
	t.Parallel()
	for _, m := range mixes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			e := newExample(t, m.config(t))
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { get(t, e, "/api/users") })
			}
			wg.Wait()
			_, body := get(t, e, "/api/hits")
			require.JSONEq(t, `[{"path": "/api/users", "hits": 20}]`, body)
		})
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	cfg := onSQLite(t)
	server := dbtest.StartMariaDB(t)
	cfg.Binds["auth"] = echobun.EngineOptions{URL: server.URL()}
	e := newExample(t, cfg)
	status, body := get(t, e, "/health")
	require.Equal(t, http.StatusOK, status, body)
	server.Stop()
	status, body = get(t, e, "/health")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, `"auth":{"status":"down"`)
}
