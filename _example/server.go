package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/echobun/echobun"
)

// newServer returns the server with its middleware and routes.
func newServer(ext *echobun.Extension) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Server.ReadHeaderTimeout = 10 * time.Second
	e.HTTPErrorHandler = handleError
	e.Use(
		middleware.Recover(),
		middleware.BodyLimit("64K"),
		// A page of another site must not post here in its visitor's name.
		echo.WrapMiddleware(http.NewCrossOriginProtection().Handler),
		ext.Middleware(),
	)

	e.GET("/", showPage, countHit)
	e.POST("/posts", submitPost)

	e.GET("/api/posts", listPosts, countHit)
	e.POST("/api/posts", createPost)
	e.GET("/api/posts/:id", getPost, countHit)
	e.GET("/api/users", listUsers, countHit)
	e.POST("/api/users", createUser)
	e.POST("/api/authors", createAuthor, atomically(ext))
	e.GET("/api/hits", listHits)

	e.GET("/health", ext.HealthHandler())
	if debugging() {
		e.GET("/debug/db", ext.DebugHandler(), onlyFromHere)
	}
	return e
}

// atomically makes a request one transaction, which commits before the client
// hears of it. With EXAMPLE_TWO_PHASE=true its databases commit all or none,
// across a crash too; at most one of them may be SQLite then.
func atomically(ext *echobun.Extension) echo.MiddlewareFunc {
	return ext.MiddlewareWithConfig(echobun.MiddlewareConfig{
		Atomic:    true,
		TxOptions: &echobun.TxOptions{TwoPhase: os.Getenv("EXAMPLE_TWO_PHASE") == "true"},
	})
}

// session returns the request's session, the door to all three databases.
func session(c echo.Context) *echobun.Session {
	return c.Get("db").(*echobun.Session) //nolint:errcheck // ext.Middleware has put it there.
}

// handleError answers a request that failed. One kind of failure has one
// status, whatever the database: echobun's errors are the same on all of them.
func handleError(err error, c echo.Context) {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = echo.ErrNotFound
	case errors.Is(err, echobun.ErrUnique):
		err = echo.NewHTTPError(http.StatusConflict, "there is one already")
	case errors.Is(err, echobun.ErrUnavailable), errors.Is(err, echobun.ErrPoolTimeout):
		slog.Warn("database unavailable", "route", c.Path(), "err", err)
		err = echo.ErrServiceUnavailable
	case !errors.As(err, new(*echo.HTTPError)):
		slog.Error("request failed", "route", c.Path(), "err", err)
	}
	c.Echo().DefaultHTTPErrorHandler(err, c)
}

// serve answers requests until ctx is done, and then finishes those that are
// under way, and closes the databases.
func serve(ctx context.Context, ext *echobun.Extension, out io.Writer) error {
	addr := cmp.Or(os.Getenv("EXAMPLE_ADDR"), "127.0.0.1:8080")
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (EXAMPLE_ADDR chooses another address, 127.0.0.1:0 any free port)", err)
	}

	e := newServer(ext) //nolint:contextcheck // A request brings its own context.
	e.Listener = ln
	ended := make(chan error, 1)
	go func() { ended <- e.Start("") }()
	greet(out, ext, ln.Addr())

	beside, stop := context.WithCancel(ctx)
	recovering := recoverPrepared(beside, ext)
	defer func() {
		stop()
		<-recovering
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(e.Shutdown(ctx), ext.Shutdown(ctx))
}

// greet says where everything is and what to try.
func greet(out io.Writer, ext *echobun.Extension, addr net.Addr) {
	url := "http://" + addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		url = fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	on := ext.Engines()
	_, _ = fmt.Fprintf(out, `Posts on %s, users on %s, page hits on %s.
Open %[4]s in a browser, or try these. Ctrl+C ends it.

  curl %[4]s/api/posts
  curl -H 'Content-Type: application/json' -d '{"title": "Hello", "author_id": 1}' %[4]s/api/posts
  curl -H 'Content-Type: application/json' -d '{"name": "Barbara Liskov", "title": "First"}' %[4]s/api/authors
  curl %[4]s/api/hits
%[5]s
`, label("", on[""]), label("auth", on["auth"]), label("meta", on["meta"]), url, debugHint(url))
}
