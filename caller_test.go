package echobun_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestCallerIsNoFunctionOfEcho sends a ROLLBACK that no line of the application
// asks for, below a function of Echo that the compiler puts into this one.
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
	request(e, http.MethodGet, "/")

	callers := make(map[string]string)
	records, _ := s.Queries()
	for _, r := range records {
		callers[r.Op] = r.Caller
	}
	require.Regexp(t, `/caller_test\.go:\d+$`, callers["SELECT"])
	require.Contains(t, callers, "ROLLBACK")
	require.NotContains(t, callers["ROLLBACK"], "echo.go")
}
