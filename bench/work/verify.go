package work

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/bench/data"
)

// verify checks that all stores do the same: otherwise there would be nothing
// to compare.
func verify(ctx context.Context, stores []store) error {
	var first string
	for _, s := range stores {
		if err := verifyOne(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		e := echo.New()
		s.Routes(e)
		code, body := serve(ctx, e, http.MethodGet, "/page/7")
		if first == "" {
			first = body
		}
		if code != http.StatusOK || body != first || len(body) < 1000 {
			return fmt.Errorf("%s: GET /page/7 answers %d %q: want %q", s.name, code, body, first)
		}
		if code, body = serve(ctx, e, http.MethodPost, "/both/7"); code != http.StatusCreated {
			return fmt.Errorf("%s: POST /both/7 answers %d %q", s.name, code, body)
		}
	}
	return nil
}

func verifyOne(ctx context.Context, s store) error {
	if name, err := s.Point(ctx, 17); err != nil || name != data.UserName(17) {
		return fmt.Errorf("Point(17) = %q, %w", name, err)
	}
	if n, err := s.List(ctx, 3); err != nil || n != data.ListSize {
		return fmt.Errorf("List(3) = %d, %w", n, err)
	}
	if n, err := s.Comments(ctx, 5); err != nil || n != 10*data.CommentsPerPost {
		return fmt.Errorf("Comments(5) = %d, %w", n, err)
	}
	if err := s.Insert(ctx, 3); err != nil {
		return fmt.Errorf("Insert(3): %w", err)
	}
	if err := s.Update(ctx, 3, 4.5); err != nil {
		return fmt.Errorf("Update(3): %w", err)
	}
	if err := s.Both(ctx, 3); err != nil {
		return fmt.Errorf("Both(3): %w", err)
	}
	return nil
}

// serve serves one request without a connection.
func serve(ctx context.Context, e *echo.Echo, method, path string) (code int, body string) {
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, method, path, nil))
	return rec.Code, rec.Body.String()
}
