package echobun

import (
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// defaultContextKey is where handlers find their session unless
// MiddlewareConfig says otherwise.
const defaultContextKey = "db"

// MiddlewareConfig configures the middleware that gives each request its
// session.
type MiddlewareConfig struct {
	// Skipper says which requests get no session. Default: none.
	Skipper middleware.Skipper

	// ContextKey is where c.Get finds the *Session. Default: "db".
	ContextKey string
}

// Middleware returns the middleware with the default configuration:
//
//	e.Use(middleware.Recover(), ext.Middleware())
//	e.GET("/", func(c echo.Context) error {
//		db := c.Get("db").(*echobun.Session)
//		...
//	})
//
// Each request is one app context: its session is in c.Get and in the
// request's context. It opens nothing until its first statement. When the
// handler returns or panics, the app context ends and what is open is rolled
// back; the handler's error is passed on untouched.
//
// Register it after Recover. It must not be outside the deprecated Timeout
// middleware, which runs the handler in another goroutine: use
// ContextTimeout.
func (x *Extension) Middleware() echo.MiddlewareFunc {
	return x.MiddlewareWithConfig(MiddlewareConfig{})
}

// MiddlewareWithConfig is [Extension.Middleware] with a configuration. It
// panics if cfg cannot be used; [MiddlewareConfig.ToMiddleware] returns the
// error instead.
//
// Installed again, on a group or a route, it uses the app context that is
// there and adds what cfg asks for.
func (x *Extension) MiddlewareWithConfig(cfg MiddlewareConfig) echo.MiddlewareFunc {
	mw, err := cfg.ToMiddleware(x)
	if err != nil {
		panic(err)
	}
	return mw
}

// ToMiddleware returns the middleware of x with this configuration, or an
// error that says what is wrong with it.
func (cfg MiddlewareConfig) ToMiddleware(x *Extension) (echo.MiddlewareFunc, error) {
	if x == nil {
		return nil, errors.New("echobun: middleware of a nil Extension")
	}
	if cfg.Skipper == nil {
		cfg.Skipper = middleware.DefaultSkipper
	}
	if cfg.ContextKey == "" {
		cfg.ContextKey = defaultContextKey
	}

	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if cfg.Skipper(c) {
				return next(c)
			}
			return cfg.serve(x, c, next)
		}
	}, nil
}

// serve runs next with a session of x under the context key.
func (cfg MiddlewareConfig) serve(x *Extension, c echo.Context, next echo.HandlerFunc) error {
	if other, ok := c.Get(cfg.ContextKey).(*Session); ok && other.app.x != x {
		return fmt.Errorf("echobun: two extensions use the context key %q: give one of them another MiddlewareConfig.ContextKey",
			cfg.ContextKey)
	}

	if s, err := x.Session(c.Request().Context()); err == nil && s.app.request {
		c.Set(cfg.ContextKey, s)
		return next(c)
	}

	req := c.Request()
	a := newAppContext(req.Context(), x)
	a.request = true
	c.SetRequest(req.WithContext(a))
	c.Set(cfg.ContextKey, &a.session)
	defer func() {
		a.end()
		// net/http removes the temporary files of the request it made, so a
		// form that was parsed from the copy has to be known to the original.
		if req.MultipartForm == nil {
			req.MultipartForm = c.Request().MultipartForm
		}
	}()
	return next(c)
}
