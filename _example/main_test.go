package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// A mix says on which kind of database each bind is, by the names that the
// page has for them.
type mix struct{ posts, users, hits string }

// Each kind is the home of each bind at least once.
var mixes = []mix{
	{"sqlite", "sqlite", "sqlite"},
	{"pg", "mysql", "sqlite"},
	{"mysql", "sqlite", "pg"},
	{"sqlite", "pg", "mysql"},
}

func (m mix) String() string { return m.posts + "," + m.users + "," + m.hits }

// config returns the configuration for fresh databases.
func (m mix) config(t *testing.T) echobun.Config {
	t.Helper()
	return echobun.Config{
		DatabaseURI: urlOn(t, m.posts, "posts.db"),
		Binds: echobun.Binds{
			"auth": {URL: urlOn(t, m.users, "users.db")},
			"meta": {URL: urlOn(t, m.hits, "hits.db")},
		},
		InstancePath: t.TempDir(),
	}
}

func urlOn(t *testing.T, kind, file string) string {
	t.Helper()
	switch kind {
	case "pg":
		return dbtest.Postgres(t).URL()
	case "mysql":
		return dbtest.MariaDB(t).URL()
	}
	return "sqlite:///" + file
}

// onSQLite is the configuration that the program has by itself.
func onSQLite(t *testing.T) echobun.Config {
	t.Helper()
	return mixes[0].config(t)
}

// newExample returns the application, set up on the databases of cfg.
func newExample(t *testing.T, cfg echobun.Config) *echo.Echo {
	t.Helper()
	ext, err := echobun.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ext.Close()) })
	require.NoError(t, setUp(t.Context(), ext))
	return newServer(ext)
}

// send sends a request with a body of a content type, and returns the status
// and the body of the answer.
func send(t *testing.T, e *echo.Echo, method, path, contentType, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Header.Set(echo.HeaderContentType, contentType)
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

func get(t *testing.T, e *echo.Echo, path string) (int, string) {
	t.Helper()
	return send(t, e, http.MethodGet, path, "", "")
}

func postJSON(t *testing.T, e *echo.Echo, path, body string) (int, string) {
	t.Helper()
	return send(t, e, http.MethodPost, path, echo.MIMEApplicationJSON, body)
}

func TestConfig(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgresql://nobody:secret@db.invalid/theirs")

	t.Run("leaves everything to SQLite files", func(t *testing.T) {
		t.Setenv("EXAMPLE_DATABASE_URI", "") // Which is as good as none.
		cfg, err := config()
		require.NoError(t, err)
		require.Equal(t, "instance", cfg.InstancePath)
		require.Empty(t, cfg.DatabaseURI)
		for key, options := range cfg.Binds {
			require.True(t, strings.HasPrefix(options.URL, "sqlite:///"), "bind %q is on %s", key, options.URL)
		}
		require.Len(t, cfg.Binds, 3)
	})
	t.Run("takes a bind from the environment", func(t *testing.T) {
		t.Setenv("EXAMPLE_DATABASE_URI", "postgresql://blog@localhost/blog")
		t.Setenv("EXAMPLE_BINDS__AUTH", "mysql://blog@localhost/auth")
		t.Setenv("EXAMPLE_INSTANCE_PATH", t.TempDir())
		cfg, err := config()
		require.NoError(t, err)

		ext, err := echobun.New(cfg)
		require.NoError(t, err)
		defer ext.Close()
		on := ext.Engines()
		require.Equal(t, "default · pg", label("", on[""]))
		require.Equal(t, "auth · mysql", label("auth", on["auth"]))
		require.Equal(t, "meta · sqlite", label("meta", on["meta"]))
	})
	t.Run("says what is wrong", func(t *testing.T) {
		t.Setenv("EXAMPLE_BINDS__AUTH", `{"ulr": "sqlite://"}`)
		require.ErrorContains(t, run(t.Context(), io.Discard), `bind "auth": ulr`)
	})
}

func TestSetUpTwice(t *testing.T) {
	t.Parallel()
	cfg := onSQLite(t)
	newExample(t, cfg)
	e := newExample(t, cfg)

	_, users := get(t, e, "/api/users")
	require.JSONEq(t, `[{"id": 1, "name": "Ada Lovelace"}, {"id": 2, "name": "Grace Hopper"}]`, users)
	_, posts := get(t, e, "/api/posts")
	require.JSONEq(t, `[
		{"id": 2, "title": "No foreign key leaves its database", "author_id": 2},
		{"id": 1, "title": "One session, three databases", "author_id": 1}
	]`, posts)
}
