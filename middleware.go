package echobun

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/echobun/echobun/internal/response"
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

	// Atomic makes the request one transaction over all binds, which c.Get and
	// the request's context carry the session of. It commits when the first
	// header or byte of the response is about to leave, and at the handler's
	// end if it wrote nothing; if that fails, the client gets the error
	// handler's answer and nothing of the handler's. A returned error, a panic
	// and a status that CommitStatus refuses roll back. Default: false.
	//
	// Nothing is buffered. Statements after the response has begun are a new
	// transaction, committed at the handler's end; its failure is returned
	// and logged, since the client cannot be told any more. After an answer
	// that has rolled back they are rolled back too. What is written after a
	// commit that failed goes nowhere, and fails with its error. Where an inner
	// middleware has an error answered by c.Error, the answer's status decides.
	//
	// Inside another atomic installation it joins that one's transaction.
	Atomic bool

	// TxOptions are the options of an atomic request's transaction. Retries is
	// an error: a handler cannot be run again. So are options that an outer
	// atomic installation does not have, when the request comes.
	TxOptions *TxOptions

	// CommitStatus says whether an atomic request with this status commits.
	// Default: below 400.
	CommitStatus func(status int) bool

	// ServerTiming adds a Server-Timing header to the response, with an entry
	// for each bind that was used until the header leaves: how many statements
	// there were, BEGIN and COMMIT among them, and how long all of them took.
	// Browsers show it; so may anybody, who learns the bind keys. Default: false.
	ServerTiming bool
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

	m, err := cfg.build(x)
	if err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if cfg.Skipper(c) {
				return next(c)
			}
			return m.serve(c, next)
		}
	}, nil
}

// build checks what belongs to atomic requests.
func (cfg MiddlewareConfig) build(x *Extension) (*requests, error) {
	m := &requests{x: x, key: cfg.ContextKey, atomic: cfg.Atomic, asked: cfg.TxOptions, commits: cfg.CommitStatus, timing: cfg.ServerTiming}
	if !cfg.Atomic && (cfg.TxOptions != nil || cfg.CommitStatus != nil) {
		return nil, errors.New("echobun: MiddlewareConfig.TxOptions and CommitStatus are for atomic requests: set Atomic")
	}
	var err error
	if m.opts, err = x.txOptions(cfg.TxOptions); err != nil {
		return nil, err
	}
	if m.opts.Retries > 0 {
		return nil, &ConfigError{Field: "TxOptions.Retries", Err: errors.New("a request's handler cannot be run again: use RunInTx in it")}
	}
	if m.commits == nil {
		m.commits = func(status int) bool { return status < http.StatusBadRequest }
	}
	return m, nil
}

// requests is the middleware.
type requests struct {
	x       *Extension
	key     string
	atomic  bool
	asked   *TxOptions
	opts    TxOptions
	commits func(status int) bool
	timing  bool
}

// serve runs next with a session under the context key.
func (m *requests) serve(c echo.Context, next echo.HandlerFunc) error {
	if other, ok := c.Get(m.key).(*Session); ok && other.app.x != m.x {
		return fmt.Errorf("echobun: two extensions use the context key %q: give one of them another MiddlewareConfig.ContextKey", m.key)
	}

	req := c.Request()
	if s, err := m.x.Session(req.Context()); err == nil && s.app.request {
		return m.serveInside(c, s, next)
	}
	a := newAppContext(req.Context(), m.x)
	a.request = true
	defer func() {
		a.end()
		// net/http removes the temporary files of the request it made, so a
		// form that was parsed from the copy has to be known to the original.
		if req.MultipartForm == nil {
			req.MultipartForm = c.Request().MultipartForm
		}
	}()
	finish := m.measure(c, a)
	defer finish()
	if m.x.debug.mounted.Load() {
		return m.x.debug.watch(c, a, func() error { return m.serveOutermost(c, a, next) })
	}
	return m.serveOutermost(c, a, next)
}

// serveOutermost runs next in an app context of the request's own.
func (m *requests) serveOutermost(c echo.Context, a *appContext, next echo.HandlerFunc) error {
	if m.atomic {
		return m.serveAtomic(a, c, &a.session, next)
	}
	c.SetRequest(c.Request().WithContext(a))
	c.Set(m.key, &a.session)
	return next(c)
}

// serveInside runs next in the app context of another installation.
func (m *requests) serveInside(c echo.Context, s *Session, next echo.HandlerFunc) error {
	finish := m.measure(c, s.app)
	defer finish()
	if m.atomic && s.level == nil {
		return m.serveAtomic(c.Request().Context(), c, s, next)
	}
	if m.atomic {
		if err := s.level.t.opts.checkNested(m.asked); err != nil {
			return err
		}
	}
	c.Set(m.key, s)
	return next(c)
}

// measure has the response tell how long the request's statements took, until
// the function that it returns is called.
func (m *requests) measure(c echo.Context, a *appContext) (finish func()) {
	if !m.timing {
		return func() {}
	}
	t := response.NewTimings(m.x.keysByIndex())
	if !a.timings.CompareAndSwap(nil, t) {
		return func() {}
	}
	resp := c.Response()
	w := response.NewTiming(resp.Writer, t)
	resp.Writer = w
	return w.Finish
}

// keysByIndex returns the bind keys in the order of the engines' indexes.
func (x *Extension) keysByIndex() []string {
	keys := make([]string, len(x.engines))
	for _, e := range x.engines {
		keys[e.index] = e.key
	}
	return keys
}

// serveAtomic runs next in a transaction. The context is the one that came
// in: what is inside may have one that ends earlier.
func (m *requests) serveAtomic(ctx context.Context, c echo.Context, outer *Session, next echo.HandlerFunc) (err error) {
	t := newTransaction(ctx, outer, m.opts)
	resp := c.Response()
	saved := *resp
	w := response.NewAtomic(resp.Writer, &requestUnit{t}, m.commits)
	resp.Writer = w
	c.SetRequest(c.Request().WithContext(&txContext{Context: ctx, l: &t.root})) //nolint:contextcheck // It is ctx with a session.
	c.Set(m.key, &t.root.session)

	returned := false
	defer func() {
		if !returned { // A panic or a Goexit goes on.
			m.x.logRollback(ctx, t.rollback())
		}
		c.Set(m.key, outer)
		restore(c, resp, &saved, w)
	}()
	err = next(c)
	returned = true
	return w.End(c.Response().Status, err)
}

// restore takes w out of the response again. If what was written went nowhere,
// the response is as it was saved, without the hooks that it was given since.
func restore(c echo.Context, resp, saved *echo.Response, w *response.Atomic) {
	if w.Pass() {
		*resp = *saved
		c.SetResponse(resp) // A wrapped middleware inside has made one of its own.
	}
	if resp.Writer == http.ResponseWriter(w) {
		resp.Writer = w.ResponseWriter
	}
}

// A requestUnit is the transaction of a request, as its response sees it.
type requestUnit struct{ t *transaction }

// End commits. What it returns runs what waits for the commit.
func (u *requestUnit) End() (after func(), err error) {
	waiting, err := u.t.end()
	if len(waiting) == 0 {
		return nil, err
	}
	return func() { u.t.app.x.runAfterCommit(context.WithoutCancel(u.t.ctx), waiting...) }, err
}

// Rollback logs what goes wrong: the response has an answer already.
func (u *requestUnit) Rollback() { u.t.app.x.logRollback(u.t.ctx, u.t.rollback()) }

// Renew has what follows be another transaction.
func (u *requestUnit) Renew() { u.t.renew() }

// Used reports whether there are statements in it.
func (u *requestUnit) Used() bool { return u.t.isUsed() }

// Lost logs what nobody can be told any more.
func (u *requestUnit) Lost(err error) {
	x := u.t.app.x
	x.logger.ErrorContext(u.t.ctx, "echobun: statements after the response has begun are lost", "error", x.reason(err))
}
