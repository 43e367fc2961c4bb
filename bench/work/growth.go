package work

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
)

// A Growth is how the cost of something changes with a number.
type Growth struct {
	What string // Routing or a request.
	By   string // Binds, models or goroutines.
	X    []float64
	// Ours and Hand have a series for each X.
	Ours []measure.Series
	Hand []measure.Series
}

// The axes of growth.
const (
	ByBinds      = "binds"
	ByModels     = "models"
	ByGoroutines = "goroutines"
)

// The costs that may grow.
const (
	GrowRouting = "Routing"
	GrowRequest = "Request with a point select"
)

var growthSizes = map[string][]int{
	ByBinds:      {1, 3, 10, 30, 100, 300, 1000},
	ByModels:     {1, 10, 100, 1000, 10_000},
	ByGoroutines: {1, 4, 16, 64, 256},
}

// Growth measures the cost of routing and of a request against the number of
// binds, of models and of goroutines.
func (e *Env) Growth(ctx context.Context) ([]Growth, error) {
	var all []Growth
	for _, by := range []string{ByBinds, ByModels, ByGoroutines} {
		sizes := growthSizes[by]
		if e.Quick {
			sizes = sizes[:2]
		}
		more, err := e.growth(ctx, by, sizes)
		if err != nil {
			return nil, fmt.Errorf("growth by %s: %w", by, err)
		}
		all = append(all, more...)
	}
	return all, nil
}

func (e *Env) growth(ctx context.Context, by string, sizes []int) (all []Growth, err error) {
	apps := make([]*application, len(sizes))
	defer func() {
		for _, a := range apps {
			if a != nil {
				err = errors.Join(err, a.close())
			}
		}
	}()
	x := make([]float64, len(sizes))
	for i, n := range sizes {
		x[i] = float64(n)
		if apps[i], err = newApplication(ctx, by, n); err != nil {
			return nil, err
		}
	}
	for _, g := range []struct {
		what string
		run  func(*application) (ours, hand func(int) error)
	}{{GrowRouting, (*application).routing}, {GrowRequest, (*application).request}} {
		var cases []measure.Case
		for _, a := range apps {
			ours, hand := g.run(a)
			cases = append(cases, measure.Case{Name: peer.Echobun, Run: a.parallel(ours)}, measure.Case{Name: ByHand, Run: a.parallel(hand)})
		}
		measured, err := e.group(g.what, "against the number of "+by, e.plan(12, 15, 2*time.Millisecond), cases)
		if err != nil {
			return nil, err
		}
		if measured.Series == nil {
			continue
		}
		growth := Growth{What: g.what, By: by, X: x}
		for i := range apps {
			growth.Ours = append(growth.Ours, measured.Series[2*i])
			growth.Hand = append(growth.Hand, measured.Series[2*i+1])
		}
		all = append(all, growth)
	}
	return all, nil
}

// An application has one of the numbers grown.
type application struct {
	ext        *echobun.Extension
	end        func()
	session    *echobun.Session
	models     []any // On the default bind; nil where these are not what grows.
	goroutines int
	plain      *echo.Echo
	with       *echo.Echo
}

func newApplication(ctx context.Context, by string, n int) (*application, error) {
	a := &application{goroutines: 1}
	cfg := binds(3)
	switch by {
	case ByBinds:
		cfg = binds(n)
	case ByModels:
		a.models = models(n)
	default:
		a.goroutines = n
	}
	cfg.DatabaseURI = "sqlite://"
	var err error
	if a.ext, err = echobun.New(cfg); err != nil {
		return nil, err
	}
	if err := a.ext.Register(append([]any{(*routed)(nil)}, a.models...)...); err != nil {
		return nil, errors.Join(err, a.ext.Close())
	}
	ctx, a.end = a.ext.AppContext(ctx)
	if a.session, err = a.ext.Session(ctx); err != nil {
		return nil, err
	}
	a.serve() //nolint:contextcheck // Requests bring their own.
	return a, a.fill(ctx)
}

func (a *application) close() error {
	a.end()
	return a.ext.Close()
}

// fill makes the one table that is read, with one row.
func (a *application) fill(ctx context.Context) error {
	if _, err := a.session.NewCreateTable().Model((*routed)(nil)).Exec(ctx); err != nil {
		return err
	}
	_, err := a.session.NewInsert().Model(&routed{ID: 1, Name: "one"}).Exec(ctx)
	return err
}

// serve makes two servers of the same page, with the middleware and without.
func (a *application) serve() {
	a.plain, a.with = echo.New(), echo.New()
	a.with.Use(a.ext.Middleware())
	db := a.ext.Engines()[bindKey(0)]
	answer := func(c echo.Context, q func(any) *bun.SelectQuery) error {
		var r routed
		if err := q(&r).Where("id = ?", 1).Scan(c.Request().Context()); err != nil {
			return err
		}
		return c.String(http.StatusOK, r.Name)
	}
	a.plain.GET("/", func(c echo.Context) error { return answer(c, db.NewSelect().Model) })
	a.with.GET("/", func(c echo.Context) error {
		s := c.Get("db").(*echobun.Session) //nolint:errcheck // The middleware has put it there.
		return answer(c, s.NewSelect().Model)
	})
}

// routing begins queries for models in turn, or for the one on a bind.
func (a *application) routing() (ours, hand func(int) error) {
	list := a.models
	engines := a.ext.Engines()
	db := engines[echobun.DefaultBind]
	if list == nil {
		list, db = []any{(*routed)(nil)}, engines[bindKey(0)]
	}
	ours = func(n int) error {
		var q *bun.SelectQuery
		for i := range n {
			q = a.session.NewSelect().Model(list[i*7919%len(list)])
		}
		runtime.KeepAlive(q)
		return nil
	}
	hand = func(n int) error {
		var q *bun.SelectQuery
		for i := range n {
			q = db.NewSelect().Model(list[i*7919%len(list)])
		}
		runtime.KeepAlive(q)
		return nil
	}
	return ours, hand
}

func (a *application) request() (ours, hand func(int) error) {
	to := func(e *echo.Echo) func(int) error {
		return func(n int) error {
			req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)
			for range n {
				rec := httptest.NewRecorder()
				e.ServeHTTP(rec, req)
				if rec.Code != http.StatusOK {
					return fmt.Errorf("it answers %d %s", rec.Code, rec.Body)
				}
			}
			return nil
		}
	}
	return to(a.with), to(a.plain)
}

// parallel shares n operations among the goroutines.
func (a *application) parallel(run func(int) error) func(int) error {
	if a.goroutines == 1 {
		return run
	}
	return func(n int) error {
		errs := make([]error, a.goroutines)
		var wg sync.WaitGroup
		for i := range errs {
			share := n / a.goroutines
			if i < n%a.goroutines {
				share++
			}
			if share > 0 {
				wg.Go(func() { errs[i] = run(share) })
			}
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}
