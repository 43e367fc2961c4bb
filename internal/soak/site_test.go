package soak

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

// Each request writes one row under its id on each of three binds.
type (
	order struct {
		bun.BaseModel `bun:"table:orders"`

		ID int64 `bun:",pk"`
	}
	payment struct {
		bun.BaseModel `bun:"table:payments"`
		onAuth

		ID int64 `bun:",pk"`
	}
	event struct {
		bun.BaseModel `bun:"table:events"`
		onMeta

		ID int64 `bun:",pk"`
	}
	onAuth struct{}
	onMeta struct{}
)

func (onAuth) BindKey() string { return "auth" }
func (onMeta) BindKey() string { return "meta" }

func models() []any { return []any{(*order)(nil), (*payment)(nil), (*event)(nil)} }

// A site is an application over PostgreSQL, MariaDB and SQLite, whose
// connections can be cut.
type site struct {
	urls    map[string]string // By bind, with cuts.
	sounds  map[string]string // The same without.
	proxies []*cutproxy.Proxy
	refused counter
	limit   atomic.Int64 // What a request may take.

	x      *echobun.Extension // What the application uses.
	sound  *echobun.Extension // The same databases without cuts.
	server *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	pg, my := dbtest.StartPostgres(t), dbtest.StartMariaDB(t)
	toPG, toMy := cutproxy.New(t, pg.Addr()), cutproxy.New(t, my.Addr())
	lite := "sqlite:///" + filepath.Join(t.TempDir(), "soak.db")
	return &site{
		urls:    map[string]string{"": pg.URLVia(toPG.Addr()), "auth": my.URLVia(toMy.Addr()), "meta": lite},
		sounds:  map[string]string{"": pg.URL(), "auth": my.URL(), "meta": lite},
		proxies: []*cutproxy.Proxy{toPG, toMy},
	}
}

// start starts the application.
func (s *site) start(t *testing.T) {
	t.Helper()
	s.x, s.sound = open(t, s.urls), open(t, s.sounds)
	ctx, end := s.sound.AppContext(t.Context())
	defer end()
	require.NoError(t, s.sound.CreateAll(ctx))
	s.server = httptest.NewServer(s.routes())
	transport, ok := s.server.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.MaxIdleConnsPerHost = clients
	s.limit.Store(int64(calmLimit))
}

// fill gives the tables rows between those that clients will write, so that
// they are not much smaller in the first part of the run than in the last.
func (s *site) fill(t *testing.T, n int64) {
	t.Helper()
	x := open(t, s.sounds)
	ctx, end := x.AppContext(t.Context())
	defer end()
	require.NoError(t, x.CreateAll(ctx))
	db, err := x.Session(ctx)
	require.NoError(t, err)
	for client := range int64(clients) {
		var orders []order
		var payments []payment
		var events []event
		for i := range n {
			id := (client+1)<<32 + 1<<31 + i // Beyond what a client comes to.
			orders, payments, events = append(orders, order{ID: id}), append(payments, payment{ID: id}), append(events, event{ID: id})
		}
		for _, rows := range []any{&orders, &payments, &events} {
			_, err := db.NewInsert().Model(rows).Returning("NULL").Exec(ctx)
			require.NoError(t, err)
		}
	}
	require.NoError(t, x.Close())
}

// stop stops it. Nothing may be in use any more.
func (s *site) stop(t *testing.T) {
	t.Helper()
	s.server.Close()
	for key, db := range s.x.Engines() {
		require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, 10*time.Second, time.Millisecond, "bind %q", key)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.x.Shutdown(ctx))
	require.NoError(t, s.sound.Shutdown(ctx))
}

func open(t *testing.T, urls map[string]string) *echobun.Extension {
	t.Helper()
	x, err := echobun.New(echobun.Config{
		AppName: "soak", DatabaseURI: urls[""],
		Binds: echobun.Binds{"auth": {URL: urls["auth"]}, "meta": {URL: urls["meta"]}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	require.NoError(t, x.Register(models()...))
	return x
}

var errRefused = echo.NewHTTPError(http.StatusConflict, "the application says no")

func (s *site) routes() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.answer
	e.Use(s.limited)
	plain := e.Group("", s.x.Middleware())
	plain.GET("/read/:id", s.read)
	plain.POST("/plain/:id", func(c echo.Context) error { return created(c, write(c.Request().Context(), session(c), c)) })
	plain.POST("/tx/:id", s.inTx(onePhase()))
	plain.POST("/two/:id", s.inTx(&echobun.TxOptions{TwoPhase: true, CommitTimeout: commitLimit}))
	whole := e.Group("", s.x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true, TxOptions: onePhase()}))
	whole.POST("/atomic/:id", func(c echo.Context) error { return created(c, write(c.Request().Context(), session(c), c)) })
	whole.POST("/fail/:id", func(c echo.Context) error {
		return errors.Join(write(c.Request().Context(), session(c), c), errRefused)
	})
	return e
}

// onePhase commits SQLite first, since it has one writer at a time.
func onePhase() *echobun.TxOptions {
	return &echobun.TxOptions{CommitTimeout: commitLimit, Order: []string{"meta"}}
}

// limited gives each request its time.
func (s *site) limited(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), time.Duration(s.limit.Load()))
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

func session(c echo.Context) *echobun.Session {
	return c.Get("db").(*echobun.Session) //nolint:errcheck,forcetypeassert // The middleware put it there.
}

func created(c echo.Context, err error) error {
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusCreated)
}

func (s *site) inTx(opts *echobun.TxOptions) echo.HandlerFunc {
	return func(c echo.Context) error {
		return created(c, session(c).RunInTx(c.Request().Context(), opts, func(ctx context.Context, tx *echobun.Session) error {
			return write(ctx, tx, c)
		}))
	}
}

func (s *site) read(c echo.Context) error {
	ctx, db := c.Request().Context(), session(c)
	for _, model := range models() {
		if _, err := db.NewSelect().Model(model).Where("id = ?", c.Param("id")).Exists(ctx); err != nil {
			return err
		}
	}
	return c.NoContent(http.StatusOK)
}

func write(ctx context.Context, db *echobun.Session, c echo.Context) error {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return err
	}
	for _, row := range []any{&order{ID: id}, &payment{ID: id}, &event{ID: id}} {
		if _, err := db.NewInsert().Model(row).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer is the application's error handler: 202 says that nobody knows.
func (s *site) answer(err error, c echo.Context) {
	status := http.StatusInternalServerError
	var partial *echobun.CommitError
	switch {
	case errors.Is(err, echobun.ErrOutcomeUnknown), errors.As(err, &partial):
		status = http.StatusAccepted
	case errors.Is(err, errRefused):
		status = http.StatusConflict
	}
	if status != http.StatusConflict {
		s.refused.add(kindOf(err))
	}
	if !c.Response().Committed {
		_ = c.NoContent(status)
	}
}

func kindOf(err error) string {
	for _, kind := range []struct {
		name string
		err  error
	}{
		{"outcome unknown", echobun.ErrOutcomeUnknown},
		{"pool timeout", echobun.ErrPoolTimeout},
		{"serialization", echobun.ErrSerialization},
		{"unavailable", echobun.ErrUnavailable},
		{"deadline", context.DeadlineExceeded},
		{"doomed", echobun.ErrTxDoomed},
		{"two-phase", echobun.ErrTwoPhase},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return err.Error()
}

// A counter counts by name. It is safe for concurrent use.
type counter struct {
	mu     sync.Mutex // Protects counts.
	counts map[string]int
}

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[name]++
}

// recoverFor recovers what is left prepared, every so often, until ctx ends.
func (s *site) recoverFor(ctx context.Context) {
	for ctx.Err() == nil {
		_, _ = s.sound.RecoverPrepared(ctx)
		wait(ctx, time.Second)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
