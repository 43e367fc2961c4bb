package echobun_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// The figures that the README quotes come from here:
//
//	go test -run '^$' -bench . .
//
// Everything that is compared runs in turn, A B A B ..., in one benchmark.
// Each reports the medians of ten rounds of two hundred such pairs: of the times, and
// of the pairs' differences and ratios.

// Results are kept where the compiler cannot tell that nobody reads them.
var (
	keptSelect *bun.SelectQuery
	keptUser   benchUser
)

type benchUser struct {
	bun.BaseModel `bun:"table:bench_users"`

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

// turns is how many a pair of runs takes, so that a change in the machine's
// speed meets both.
const turns = 200

// brief reports whether the benchmarks run for the sake of running: once.
func brief() bool { return flag.Lookup("test.benchtime").Value.String() == "1x" }

// rounds is how many pairs of runs there are, of which the median counts.
func rounds() int {
	if brief() {
		return 2
	}
	return 10
}

// compare runs two functions in turn, n times each in a round, and reports
// the medians over the rounds of their times, their difference and their ratio.
func compare(b *testing.B, n int, base, ours func(n int)) {
	b.Helper()
	if brief() {
		n = turns
	}
	base(n/10 + 1)
	ours(n/10 + 1)

	var all comparison
	for b.Loop() {
		all = comparison{}
		for range rounds() {
			all.add(round(n, base, ours))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(all.base), "base-ns")
	b.ReportMetric(median(all.ours), "ours-ns")
	b.ReportMetric(median(all.extra), "extra-ns")
	b.ReportMetric(median(all.ratio), "ratio")
}

// A comparison has the times that two functions took, which were measured one
// right after the other, and how they differ.
type comparison struct{ base, ours, extra, ratio []float64 }

func (c *comparison) add(base, ours, extra, ratio float64) {
	c.base, c.ours = append(c.base, base), append(c.ours, ours)
	c.extra, c.ratio = append(c.extra, extra), append(c.ratio, ratio)
}

// round runs both in turns and returns the medians: what else the machine does
// slows down a turn here and there, and neighbours alike. Who begins is drawn:
// in a fixed order the garbage collector keeps step with one of them.
func round(n int, base, ours func(n int)) (x, y, extra, ratio float64) {
	var c comparison
	for range turns {
		if rand.IntN(2) == 0 {
			x = perOp(base, n/turns)
			y = perOp(ours, n/turns)
		} else {
			y = perOp(ours, n/turns)
			x = perOp(base, n/turns)
		}
		c.add(x, y, y-x, y/x)
	}
	return median(c.base), median(c.ours), median(c.extra), median(c.ratio)
}

func perOp(f func(n int), n int) float64 {
	start := time.Now()
	f(n)
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	return (values[middle-1] + values[middle]) / 2
}

// manyModels returns n different struct types as models. They differ in size
// too: Bun's registry tells types apart by size first, and is slow with many
// of one size.
func manyModels(n int) []any {
	models := make([]any, n)
	for i := range models {
		models[i] = reflect.New(reflect.StructOf([]reflect.StructField{
			{
				Name: "BaseModel", Anonymous: true, Type: reflect.TypeFor[bun.BaseModel](),
				Tag: reflect.StructTag(fmt.Sprintf(`bun:"table:many_%d"`, i)),
			},
			{Name: "ID", Type: reflect.TypeFor[int64](), Tag: `bun:",pk,autoincrement"`},
			{Name: "Name", Type: reflect.TypeFor[string]()},
			{Name: "Pad", Type: reflect.ArrayOf(i%100, reflect.TypeFor[int64]()), Tag: `bun:"-"`},
		})).Interface()
	}
	return models
}

// manyBinds is a configuration of n binds.
func manyBinds(n int) echobun.Config {
	cfg := echobun.Config{DatabaseURI: "sqlite://", Binds: echobun.Binds{}}
	for i := range n - 1 {
		cfg.Binds[fmt.Sprintf("bind%d", i)] = echobun.EngineOptions{URL: "sqlite://"}
	}
	return cfg
}

// routedUser is on one of many binds.
type routedUser struct {
	bun.BaseModel `bun:"table:routed_users"`

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

func (*routedUser) BindKey() string { return "bind0" }

// BenchmarkRouting starts a query through the session and through the engine.
func BenchmarkRouting(b *testing.B) {
	for _, size := range []struct{ binds, models int }{{2, 1}, {1000, 10_000}} {
		b.Run(fmt.Sprintf("binds=%d/models=%d", size.binds, size.models), func(b *testing.B) {
			x := newExtension(b, manyBinds(size.binds), append(manyModels(size.models), (*routedUser)(nil))...)
			_, s := newSession(b, x)
			db, user := x.Engines()["bind0"], new(routedUser)
			compare(b, 100_000,
				func(n int) {
					for range n {
						keptSelect = db.NewSelect().Model(user)
					}
				},
				func(n int) {
					for range n {
						keptSelect = s.NewSelect().Model(user)
					}
				})
		})
	}
}

// TestRoutingAllocatesNothing compares with the engine's own builder.
func TestRoutingAllocatesNothing(t *testing.T) { //nolint:paralleltest // Allocations are counted for the whole process.
	for _, size := range []struct{ binds, models int }{{2, 1}, {1000, 1000}} {
		x := newExtension(t, manyBinds(size.binds), append(manyModels(size.models), (*routedUser)(nil))...)
		_, s := newSession(t, x)
		db, user := x.Engines()["bind0"], new(routedUser)
		engine := testing.AllocsPerRun(1000, func() { keptSelect = db.NewSelect().Model(user) })
		session := testing.AllocsPerRun(1000, func() { keptSelect = s.NewSelect().Model(user) })
		require.LessOrEqual(t, session, engine, "%d binds, %d models", size.binds, size.models)
	}
}

// BenchmarkPointSelect reads a row by its key through the session and through
// the same engine by hand.
func BenchmarkPointSelect(b *testing.B) {
	for _, database := range []struct {
		name string
		url  func(testing.TB) string
	}{
		{"SQLite", sqliteURL},
		{"PostgreSQL", func(tb testing.TB) string { tb.Helper(); return dbtest.Postgres(tb).URL() }},
		{"MariaDB", func(tb testing.TB) string { tb.Helper(); return dbtest.MariaDB(tb).URL() }},
	} {
		b.Run(database.name, func(b *testing.B) {
			x := newExtension(b, echobun.Config{DatabaseURI: database.url(b)}, (*benchUser)(nil))
			ctx, s := newSession(b, x)
			fillUsers(ctx, b, x, s)
			db := x.Engine()
			compare(b, 4000,
				func(n int) {
					for i := range n {
						require.NoError(b, db.NewSelect().Model(&keptUser).Where("id = ?", 1+i%100).Scan(ctx))
					}
				},
				func(n int) {
					for i := range n {
						require.NoError(b, s.NewSelect().Model(&keptUser).Where("id = ?", 1+i%100).Scan(ctx))
					}
				})
		})
	}
}

func fillUsers(ctx context.Context, tb testing.TB, x *echobun.Extension, s *echobun.Session) {
	tb.Helper()
	require.NoError(tb, x.CreateAll(ctx))
	users := make([]benchUser, 100)
	for i := range users {
		users[i].Name = fmt.Sprintf("user %d", i)
	}
	_, err := s.NewInsert().Model(&users).Exec(ctx)
	require.NoError(tb, err)
}

// servers returns an Echo whose route does nothing, without and with the middleware.
func servers(x *echobun.Extension) (plain, withSession *echo.Echo) {
	plain, withSession = echo.New(), echo.New()
	withSession.Use(x.Middleware())
	for _, e := range []*echo.Echo{plain, withSession} {
		e.GET("/", func(echo.Context) error { return nil })
	}
	return plain, withSession
}

// BenchmarkMiddleware serves a request whose handler never queries.
func BenchmarkMiddleware(b *testing.B) {
	plain, withSession := servers(newExtension(b, manyBinds(3)))
	req, rec := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	serve := func(e *echo.Echo) func(n int) {
		return func(n int) {
			for range n {
				e.ServeHTTP(rec, req)
			}
		}
	}
	compare(b, 50_000, serve(plain), serve(withSession))
}

// TestMiddlewareAllocations holds the cost of a request that never queries.
func TestMiddlewareAllocations(t *testing.T) { //nolint:paralleltest // Allocations are counted for the whole process.
	plain, withSession := servers(newExtension(t, manyBinds(3)))
	req, rec := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()

	cost := func(e *echo.Echo) (allocs, bytes int64) {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.ServeHTTP(rec, req)
			}
		})
		return r.AllocsPerOp(), r.AllocedBytesPerOp()
	}
	plainAllocs, plainBytes := cost(plain)
	allocs, bytes := cost(withSession)
	require.LessOrEqual(t, allocs-plainAllocs, int64(5))
	require.LessOrEqual(t, bytes-plainBytes, int64(1000))
}

// BenchmarkCreateAll makes fifty tables on three servers at once. The base is
// the slowest of them alone.
func BenchmarkCreateAll(b *testing.B) {
	cfg := threeDatabases(b)
	tables := func(bind string) []any {
		models := make([]any, 50)
		for i := range models {
			models[i] = &echobun.Table{
				Name: fmt.Sprintf("bulk_%d", i), BindKey: bind,
				Columns: []echobun.Column{
					{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
					{Name: "name", Type: echobun.String(80), NotNull: true},
				},
			}
		}
		return models
	}
	keys := []string{echobun.DefaultBind, "auth", "meta"}
	x := newExtension(b, cfg, slices.Concat(tables(keys[0]), tables(keys[1]), tables(keys[2]))...)
	ctx, _ := newSession(b, x)
	create := func(keys ...string) float64 {
		require.NoError(b, x.DropAll(ctx))
		return perOp(func(int) { require.NoError(b, x.CreateAll(ctx, keys...)) }, 1)
	}
	create(keys...)

	var alone, together, ratio []float64
	for b.Loop() {
		alone, together, ratio = nil, nil, nil
		for range rounds() {
			slowest := 0.0
			for _, key := range keys {
				slowest = max(slowest, create(key))
			}
			all := create(keys...)
			alone, together, ratio = append(alone, slowest), append(together, all), append(ratio, all/slowest)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(alone)/1e6, "slowest-ms")
	b.ReportMetric(median(together)/1e6, "together-ms")
	b.ReportMetric(median(ratio), "ratio")
}

// BenchmarkRegister registers models; the time is for each of them.
func BenchmarkRegister(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("models=%d", n), func(b *testing.B) {
			models := manyModels(n)
			for b.Loop() {
				x, err := echobun.New(manyBinds(1))
				require.NoError(b, err)
				require.NoError(b, x.Register(models...))
				require.NoError(b, x.Close())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/model")
		})
	}
}
