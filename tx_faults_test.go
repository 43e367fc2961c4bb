package echobun_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// byFaulty returns the URL of the same database by the faulty driver.
func byFaulty(url, plan string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	sep := "?"
	if strings.Contains(rest, "?") {
		sep = "&"
	}
	return scheme + "+faulty://" + rest + sep + "plan=" + plan
}

// A faultyBank is three databases, through sound drivers and through faulty ones.
type faultyBank struct {
	sound, faulty *echobun.Extension
	plan          *plan
	e             *echo.Echo
	err           error // What the error handler was given.
}

// newFaultyBank returns one whose requests insert a row on each bind.
func newFaultyBank(t *testing.T, cfg echobun.Config, opts *echobun.TxOptions) *faultyBank {
	t.Helper()
	b := &faultyBank{plan: new(plan), e: echo.New()}
	plans.Store(t.Name(), b.plan)
	cfg.Logger = slog.New(slog.DiscardHandler)
	b.sound = newExtension(t, cfg, txModels()...)
	ctx, _ := newSession(t, b.sound)
	require.NoError(t, b.sound.CreateAll(ctx))

	faulty := cfg
	faulty.DatabaseURI = byFaulty(cfg.DatabaseURI, t.Name())
	faulty.Binds = echobun.Binds{}
	for key, o := range cfg.Binds {
		faulty.Binds[key] = echobun.EngineOptions{URL: byFaulty(o.URL, t.Name())}
	}
	b.faulty = newExtension(t, faulty, txModels()...)

	b.e.HTTPErrorHandler = func(err error, c echo.Context) { b.err = err; b.e.DefaultHTTPErrorHandler(err, c) }
	b.e.Use(b.faulty.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true, TxOptions: opts}))
	b.e.POST("/:name", func(c echo.Context) error {
		db := c.Get("db").(*echobun.Session) //nolint:errcheck // A test.
		ctx, name := c.Request().Context(), c.Param("name")
		if err := insertAll(ctx, db, name); err != nil {
			return err
		}
		var notes []Note
		if err := db.NewSelect().Model(&notes).Where("name = ?", name).Scan(ctx); err != nil {
			return err
		}
		return c.NoContent(http.StatusCreated)
	})
	return b
}

func (b *faultyBank) post(name string) int {
	b.err = nil
	rec := httptest.NewRecorder()
	b.e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/"+name, nil))
	return rec.Code
}

// rows returns the binds that have a row of that name.
func (b *faultyBank) rows(t *testing.T, name string) []string {
	t.Helper()
	ctx, end := b.sound.AppContext(context.Background())
	defer end()
	s, err := b.sound.Session(ctx)
	require.NoError(t, err)
	var keys []string
	for _, at := range []struct {
		key   string
		model any
	}{{"", (*Debit)(nil)}, {"auth", (*Credit)(nil)}, {"meta", (*Note)(nil)}} {
		there, err := s.NewSelect().Model(at.model).Where("name = ?", name).Exists(ctx)
		require.NoError(t, err)
		if there {
			keys = append(keys, at.key)
		}
	}
	return keys
}

// requireTruth asserts that what the client and the error handler were told of
// a request is what the databases have.
func (b *faultyBank) requireTruth(t *testing.T, status int, name string, twoPhase bool) {
	t.Helper()
	if twoPhase {
		_, err := b.sound.RecoverPrepared(t.Context())
		require.NoError(t, err)
	}
	rows := b.rows(t, name)
	if status == http.StatusCreated {
		require.Len(t, rows, 3, b.plan.ops)
		return
	}
	require.Error(t, b.err)
	require.ErrorContains(t, b.err, nameOf(b.plan.firstFailed()))
	b.requireRows(t, rows, twoPhase)
}

// nameOf is what errors call a bind.
func nameOf(key string) string {
	if key == "" {
		return "default bind"
	}
	return fmt.Sprintf("bind %q", key)
}

// requireRows asserts that the binds with rows are those that the error tells of.
func (b *faultyBank) requireRows(t *testing.T, rows []string, twoPhase bool) {
	t.Helper()
	var partial *echobun.CommitError
	switch {
	case twoPhase && errors.Is(b.err, echobun.ErrOutcomeUnknown):
		require.Contains(t, []int{0, 3}, len(rows), "%v", b.err)
	case twoPhase:
		require.Empty(t, rows, "%v", b.err)
	case errors.As(b.err, &partial):
		listed := slices.Concat(partial.Committed, partial.Failed, partial.RolledBack, partial.Unknown)
		slices.Sort(listed)
		require.Equal(t, []string{"", "auth", "meta"}, listed, "each bind is listed once")
		for _, key := range []string{"", "auth", "meta"} {
			if !slices.Contains(partial.Unknown, key) {
				require.Equal(t, slices.Contains(partial.Committed, key), slices.Contains(rows, key), "%q: %v", key, b.err)
			}
		}
	default:
		require.Empty(t, rows, "%v", b.err)
	}
}

// TestFailAtTheNth fails each operation in turn, until a request is untouched.
func TestFailAtTheNth(t *testing.T) {
	t.Parallel()
	configs := map[string]func(testing.TB) echobun.Config{
		"three databases": threeDatabases,
		"SQLite": func(tb testing.TB) echobun.Config {
			tb.Helper()
			return echobun.Config{DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}, "meta": {URL: sqliteURL(tb)}}}
		},
	}
	for name, config := range configs {
		for _, twoPhase := range []bool{false, true} {
			if twoPhase && name == "SQLite" {
				continue
			}
			t.Run(fmt.Sprintf("%s two-phase %v", name, twoPhase), func(t *testing.T) {
				t.Parallel()
				b := newFaultyBank(t, config(t), &echobun.TxOptions{TwoPhase: twoPhase})
				require.Equal(t, http.StatusCreated, b.post("warm"))
				for _, forever := range []bool{false, true} {
					for _, lost := range []bool{false, true} {
						b.failEach(t, forever, lost, twoPhase)
					}
				}
			})
		}
	}
}

func (b *faultyBank) failEach(t *testing.T, forever, lost, twoPhase bool) {
	t.Helper()
	for n := 1; n < 200; n++ {
		name := fmt.Sprintf("n%d-%v-%v", n, forever, lost)
		b.plan.set(n, forever, lost)
		status := b.post(name)
		requireAtRest(t, b.faulty)
		if b.plan.untouched() {
			require.Equal(t, http.StatusCreated, status)
			require.Greater(t, n, 8, "there was hardly an operation")
			return
		}
		b.requireTruth(t, status, name, twoPhase)
		b.plan.set(0, false, false)
		require.Equal(t, http.StatusCreated, b.post(name+"-next"), "%v", b.err)
		requireAtRest(t, b.faulty)
	}
	t.Fatal("no end of operations")
}
