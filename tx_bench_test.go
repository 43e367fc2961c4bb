package echobun_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// benchCredit is on "auth".
type benchCredit struct {
	authModel

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

// benchBanks are two binds on SQLite files, and on PostgreSQL and MariaDB.
func benchBanks(b *testing.B, run func(b *testing.B, x *echobun.Extension, n int)) {
	b.Helper()
	for name, bank := range map[string]struct {
		cfg func() echobun.Config
		n   int
	}{
		"SQLite": {func() echobun.Config {
			return echobun.Config{DatabaseURI: sqliteURL(b), Binds: echobun.Binds{"auth": {URL: sqliteURL(b)}}}
		}, 2000},
		"PostgreSQL+MariaDB": {func() echobun.Config {
			return echobun.Config{DatabaseURI: dbtest.Postgres(b).URL(), Binds: echobun.Binds{"auth": {URL: dbtest.MariaDB(b).URL()}}}
		}, 400},
	} {
		b.Run(name, func(b *testing.B) {
			x := newExtension(b, bank.cfg(), (*benchUser)(nil), (*benchCredit)(nil))
			ctx, end := x.AppContext(context.Background())
			defer end()
			require.NoError(b, x.CreateAll(ctx))
			run(b, x, bank.n)
		})
	}
}

// insertByHand inserts a row on each bind in two of Bun's transactions.
func insertByHand(ctx context.Context, x *echobun.Extension) error {
	first, err := x.Engine().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = first.Rollback() }()
	if _, err := first.NewInsert().Model(&benchUser{Name: "x"}).Exec(ctx); err != nil {
		return err
	}
	second, err := x.Engines()["auth"].BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = second.Rollback() }()
	if _, err := second.NewInsert().Model(&benchCredit{Name: "x"}).Exec(ctx); err != nil {
		return err
	}
	if err := first.Commit(); err != nil {
		return err
	}
	return second.Commit()
}

// insertBoth inserts a row on each bind.
func insertBoth(ctx context.Context, tx *echobun.Session) error {
	if _, err := tx.NewInsert().Model(&benchUser{Name: "x"}).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(&benchCredit{Name: "x"}).Exec(ctx)
	return err
}

func repeat(b *testing.B, do func() error) func(n int) {
	b.Helper()
	return func(n int) {
		for range n {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkTwoBinds compares a transaction over two binds with two of Bun's by hand.
func BenchmarkTwoBinds(b *testing.B) {
	benchBanks(b, func(b *testing.B, x *echobun.Extension, n int) {
		b.Helper()
		ctx, s := newSession(b, x)
		compare(b, n,
			repeat(b, func() error { return insertByHand(ctx, x) }),
			repeat(b, func() error {
				return s.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error { return insertBoth(ctx, tx) })
			}))
	})
}

// BenchmarkTwoPhase compares a transaction over two binds in two phases with
// the same in one.
func BenchmarkTwoPhase(b *testing.B) {
	b.Run("PostgreSQL+MariaDB", func(b *testing.B) {
		x := newExtension(b, echobun.Config{
			DatabaseURI: dbtest.Postgres(b).URL(), Binds: echobun.Binds{"auth": {URL: dbtest.MariaDB(b).URL()}},
		}, (*benchUser)(nil), (*benchCredit)(nil))
		ctx, s := newSession(b, x)
		require.NoError(b, x.CreateAll(ctx))
		in := func(opts *echobun.TxOptions) func(int) {
			return repeat(b, func() error {
				return s.RunInTx(ctx, opts, func(ctx context.Context, tx *echobun.Session) error { return insertBoth(ctx, tx) })
			})
		}
		compare(b, 400, in(nil), in(&echobun.TxOptions{TwoPhase: true}))
	})
}

// BenchmarkAtomicRequest compares an atomic request with a handler that begins
// and commits by hand.
func BenchmarkAtomicRequest(b *testing.B) {
	benchBanks(b, func(b *testing.B, x *echobun.Extension, n int) {
		b.Helper()
		e := echo.New()
		e.POST("/hand", func(c echo.Context) error {
			if err := insertByHand(c.Request().Context(), x); err != nil {
				return err
			}
			return c.NoContent(http.StatusCreated)
		}, x.Middleware())
		e.POST("/atomic", func(c echo.Context) error {
			db := c.Get("db").(*echobun.Session) //nolint:errcheck // A benchmark.
			if err := insertBoth(c.Request().Context(), db); err != nil {
				return err
			}
			return c.NoContent(http.StatusCreated)
		}, x.MiddlewareWithConfig(echobun.MiddlewareConfig{Atomic: true}))
		to := func(path string) func(int) {
			return repeat(b, func() error {
				rec := httptest.NewRecorder()
				e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, nil))
				if rec.Code != http.StatusCreated {
					return echo.NewHTTPError(rec.Code)
				}
				return nil
			})
		}
		compare(b, n, to("/hand"), to("/atomic"))
	})
}
