package work

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
)

// kept is where the compiler cannot tell that nobody reads it.
var kept any //nolint:unused // It is written.

// routing measures the beginning of a query: to find the database, and to make
// the builder.
func (e *Env) routing(_ context.Context, _ data.Set, stores []store) ([]Group, error) {
	var cases []measure.Case
	for _, s := range stores {
		starter, ok := s.Store.(peer.Starter)
		if !ok || s.name == peer.BunDefault || s.name == peer.GormTuned {
			continue
		}
		cases = append(cases, measure.Case{Name: s.name, Run: func(n int) error {
			for range n {
				kept = starter.Start()
			}
			return nil
		}})
	}
	g, err := e.group(Routing, "no database", e.plan(4, 25, time.Millisecond), cases)
	return []Group{g}, err
}

// middleware measures a request whose handler does nothing.
func (e *Env) middleware(ctx context.Context, _ data.Set, stores []store) ([]Group, error) {
	var cases []measure.Case
	for _, s := range stores {
		if s.name != peer.Echobun && s.name != peer.BunTuned && s.name != peer.Gorm {
			continue
		}
		app := echo.New()
		s.Routes(app)
		req, rec := httptest.NewRequestWithContext(ctx, http.MethodGet, "/nothing", nil), httptest.NewRecorder()
		cases = append(cases, measure.Case{Name: s.name, Run: func(n int) error {
			for range n {
				app.ServeHTTP(rec, req)
			}
			return nil
		}})
	}
	g, err := e.group(Middleware, "no database", e.plan(4, 25, time.Millisecond), cases)
	return []Group{g}, err
}

// atomic measures a request that is a transaction over two databases, without
// a connection in between.
func (e *Env) atomic(ctx context.Context, set data.Set, stores []store) ([]Group, error) {
	apps := make(map[string]*echo.Echo)
	for _, s := range stores {
		apps[s.name] = echo.New()
		s.Routes(apps[s.name])
	}
	g, err := e.group(Atomic, set.Name, e.plan(3, 15, 3*time.Millisecond),
		cases(ctx, stores, func(ctx context.Context, s store, _ int64) error {
			if code, body := serve(ctx, apps[s.name], http.MethodPost, "/both/7"); code != http.StatusCreated {
				return fmt.Errorf("it answers %d %q", code, body)
			}
			return nil
		}))
	return []Group{g}, err
}
