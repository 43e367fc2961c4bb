package echobun_test

import (
	"bufio"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestCallerIsNoFunctionOfEcho sends a ROLLBACK and a COMMIT that no line of the
// application asks for, below a function of Echo that the compiler puts into this one.
func TestCallerIsNoFunctionOfEcho(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), RecordQueries: true})
	e := echo.New()
	e.Use(
		echo.WrapMiddleware(func(h http.Handler) http.Handler { return h }),
		x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}),
	)
	var s *echobun.Session
	e.GET("/", func(c echo.Context) error {
		s = sessionOf(c)
		_, err := s.NewRaw("SELECT 1").Exec(c.Request().Context())
		return errors.Join(errors.New("no"), err)
	})
	e.GET("/nothing", func(c echo.Context) error {
		s = sessionOf(c)
		return ran(s.NewRaw("SELECT 1").Exec(c.Request().Context()))
	})
	callers := make(map[string]string)
	for _, path := range []string{"/", "/nothing"} {
		request(e, http.MethodGet, path)
		records, _ := s.Queries()
		for _, r := range records {
			callers[r.Op] = r.Caller
		}
	}
	require.Regexp(t, `/caller_test\.go:\d+$`, callers["SELECT"])
	require.Contains(t, callers, "ROLLBACK")
	require.NotContains(t, callers["ROLLBACK"], "echo.go")
	require.Contains(t, callers, "COMMIT")
	require.NotContains(t, callers["COMMIT"], "echo.go")
}

// The COMMIT of an atomic request is sent below whatever writes the answer. It
// comes from the line of the handler that asks for that.
func TestCallerOfAnAtomicCommit(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), RecordQueries: true})
	page := template.Must(template.New("page").Parse("{{.}}"))
	for name, answer := range map[string]echo.HandlerFunc{
		"JSON":     func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]int{"a": 1}) },
		"XML":      func(c echo.Context) error { return c.XML(http.StatusOK, []string{"a"}) },
		"template": func(c echo.Context) error { return page.Execute(c.Response(), "a") },
		"printed":  func(c echo.Context) error { return second(fmt.Fprintf(c.Response(), "%d", 1)) },
		"copied":   func(c echo.Context) error { return c.Stream(http.StatusOK, "text/plain", strings.NewReader("a")) },
		"buffered": func(c echo.Context) error { return bufferedly(c.Response(), "a") },
		"nothing":  func(c echo.Context) error { return c.NoContent(http.StatusNoContent) },
	} {
		e := echo.New()
		e.Use(x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
		var s *echobun.Session
		e.GET("/", func(c echo.Context) error {
			s = sessionOf(c)
			if _, err := s.NewRaw("SELECT 1").Exec(c.Request().Context()); err != nil {
				return err
			}
			return answer(c)
		})
		request(e, http.MethodGet, "/")
		records, _ := s.Queries()
		require.Len(t, records, 3)
		for _, r := range records {
			require.Regexp(t, `/caller_test\.go:\d+$`, r.Caller, "%s, %s", name, r.Op)
		}
	}
}

func second(_ int, err error) error { return err }

func bufferedly(w io.Writer, s string) error {
	b := bufio.NewWriter(w)
	_, err := b.WriteString(s)
	return errors.Join(err, b.Flush())
}

// Where files do not tell, names of functions do.
func TestCallerWithoutPaths(t *testing.T) {
	t.Parallel()
	for function, standard := range map[string]bool{
		"encoding/json.(*Encoder).Encode": true, "html/template.(*Template).Execute": true, "fmt.Fprintf": true, "io.Copy": true,
		"main.main": false, "iota/web.Handler": false, "example.com/encoding/json.Marshal": false,
	} {
		require.Equal(t, standard, echobun.IsStandard("", function, "x/y.go"), function)
	}
	require.True(t, echobun.IsStandard("/go/src/", "x.y", "/go/src/x/y.go"))
	require.False(t, echobun.IsStandard("/go/src/", "x.y", "/home/x/y.go"))
}
