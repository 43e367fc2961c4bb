package survive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// A bomb is how a handler, or what it calls, leaves instead of returning.
type bomb func()

type bombKey struct{}

var bombs = map[string]bomb{
	"panic":         func() { panic("boom") },
	"abort handler": func() { panic(http.ErrAbortHandler) },
	"goexit":        runtime.Goexit,
}

// fused carries a bomb that goes off where at says.
type fused struct {
	at      string
	explode bomb
}

// explode leaves if a bomb with ctx is meant for this place.
func explode(ctx context.Context, at string) {
	if f, ok := ctx.Value(bombKey{}).(fused); ok && f.at == at {
		f.explode()
	}
}

// Touchy is a model whose hooks have bombs.
type Touchy struct {
	bun.BaseModel `bun:"table:items"`

	ID   string `bun:"type:varchar(60),pk"`
	Text string `bun:"type:varchar(200)"`
}

func (*Touchy) BeforeAppendModel(ctx context.Context, _ bun.Query) error {
	explode(ctx, "BeforeAppendModel")
	return nil
}

func (*Touchy) AfterScanRow(ctx context.Context) error {
	explode(ctx, "AfterScanRow")
	return nil
}

// bombHook is a query hook with bombs.
type bombHook struct{}

func (bombHook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	explode(ctx, "before "+event.Operation())
	return ctx
}

func (bombHook) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	explode(ctx, "after "+event.Operation())
}

// places are where bombs go off, by the path of the handler that gets there.
var places = map[string][]string{
	"/plain":  {"handler", "rows", "BeforeAppendModel", "AfterScanRow", "before INSERT", "after INSERT", "before SELECT", "after SELECT"},
	"/tx":     {"handler", "nested", "BeforeAppendModel", "AfterScanRow", "before INSERT", "after INSERT", "before BEGIN", "after BEGIN", "before SAVEPOINT", "after SAVEPOINT"},
	"/bun":    {"handler", "nested", "BeforeAppendModel", "before INSERT", "after INSERT", "before BEGIN", "after BEGIN"},
	"/atomic": {"handler", "nested", "BeforeAppendModel", "AfterScanRow", "before INSERT", "after INSERT", "before BEGIN", "after BEGIN"},
}

// newMinefield returns an application that writes and reads an item on a bind.
func newMinefield(x *echobun.Extension) *echo.Echo {
	e := newServer(x)
	work := func(ctx context.Context, db bun.IDB, id string) error {
		if _, err := db.NewInsert().Model(&Touchy{ID: id, Text: "text of " + id}).Exec(ctx); err != nil {
			return err
		}
		var got Touchy
		if err := db.NewSelect().Model(&got).Where("id = ?", id).Scan(ctx); err != nil {
			return err
		}
		if got.ID != id || got.Text != "text of "+id {
			return fmt.Errorf("wrong row: %+v", got)
		}
		explode(ctx, "handler")
		return nil
	}
	bind := func(c echo.Context, s *echobun.Session) bun.IDB {
		return s.Bind(strings.TrimPrefix(c.Param("bind"), "default"))
	}
	nested := func(c echo.Context, s *echobun.Session) error {
		return s.RunInTx(c.Request().Context(), nil, func(ctx context.Context, inner *echobun.Session) error {
			err := work(ctx, bind(c, inner), c.Param("id"))
			explode(ctx, "nested")
			return err
		})
	}
	e.POST("/plain/:bind/:id", func(c echo.Context) error {
		ctx := c.Request().Context()
		if err := work(ctx, bind(c, dbOf(c)), c.Param("id")); err != nil {
			return err
		}
		rows, err := bind(c, dbOf(c)).QueryContext(ctx, "SELECT id FROM items LIMIT 3")
		if err != nil {
			return err
		}
		defer rows.Close()
		rows.Next()
		explode(ctx, "rows")
		return errors.Join(rows.Close(), rows.Err(), c.NoContent(http.StatusCreated))
	})
	e.POST("/tx/:bind/:id", func(c echo.Context) error {
		err := dbOf(c).RunInTx(c.Request().Context(), nil, func(ctx context.Context, tx *echobun.Session) error {
			c.SetRequest(c.Request().WithContext(ctx))
			return nested(c, tx)
		})
		return errors.Join(err, done(c, err))
	})
	e.POST("/bun/:bind/:id", func(c echo.Context) error {
		err := bind(c, dbOf(c)).RunInTx(c.Request().Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			return tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				err := work(ctx, tx, c.Param("id"))
				explode(ctx, "nested")
				return err
			})
		})
		return errors.Join(err, done(c, err))
	})
	e.POST("/atomic/:bind/:id", func(c echo.Context) error {
		err := nested(c, dbOf(c))
		return errors.Join(err, done(c, err))
	}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
	return e
}

// TestPanics has handlers leave in every way, at every place, on all
// databases. Each gives its connection back, and leaves nothing behind.
func TestPanics(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI: dbtest.Postgres(t).URL(),
		Binds:       echobun.Binds{"auth": {URL: dbtest.MariaDB(t).URL()}, "meta": {URL: sqliteURL(t)}},
		Defaults:    echobun.EngineOptions{MaxOpenConns: 2, Hooks: []bun.QueryHook{bombHook{}}},
	})
	e := newMinefield(x)
	var current atomic.Value // The bomb of the request under way.
	current.Store(fused{})
	armed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bombKey{}, current.Load())))
	})
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }}))
	site := httptest.NewUnstartedServer(armed)
	site.Config.ErrorLog = log.New(io.Discard, "", 0)
	site.Start()
	t.Cleanup(site.Close)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	n, exploded := 0, 0
	for path, at := range places {
		for _, place := range at {
			for name, b := range bombs {
				for bind := range x.Engines() {
					if bind == "" {
						bind = "default"
					}
					n++
					what := strings.Join([]string{path, place, name, bind}, " ")
					current.Store(fused{at: place, explode: b})
					status := post(t, client, fmt.Sprintf("%s%s/%s/bomb-%d", site.URL, path, bind, n))
					current.Store(fused{})
					require.NotEqual(t, http.StatusCreated, status, what)
					exploded++
					requireAtRest(t, x)
					if path != "/plain" {
						require.False(t, ids(t, x, strings.TrimPrefix(bind, "default"))[fmt.Sprintf("bomb-%d", n)], "committed: %s", what)
					}
				}
				requireGood(t, client, site.URL, pick(2, 1000))
			}
		}
	}
	requireGood(t, client, site.URL, 1000)
	t.Logf("%d bombs", exploded)
}

var goodIDs atomic.Int64

// requireGood requires that the next n requests are right, on every bind.
func requireGood(t *testing.T, client *http.Client, site string, n int) {
	t.Helper()
	paths, binds := []string{"/plain", "/tx", "/bun", "/atomic"}, []string{"default", "auth", "meta"}
	for i := range n {
		url := fmt.Sprintf("%s%s/%s/good-%d", site, paths[i%4], binds[i%3], goodIDs.Add(1))
		require.Equal(t, http.StatusCreated, post(t, client, url), url)
	}
}

// post returns the status of the answer, or 0 if none came.
func post(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
