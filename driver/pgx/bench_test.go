package pgx_test

import (
	"database/sql"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/echobun/echobun/internal/dbtest"
)

type point struct {
	bun.BaseModel `bun:"table:points"`

	ID   int64  `bun:",pk"`
	Name string `bun:",notnull"`
}

// pointDatabases returns one database through this package and through pgx as
// it comes.
func pointDatabases(tb testing.TB) (ours, theirs *bun.DB) {
	tb.Helper()
	s := dbtest.Postgres(tb)
	ours = open(tb, s.URL(), "")
	exec(tb, ours, "CREATE TABLE points (id bigint PRIMARY KEY, name text NOT NULL)",
		"INSERT INTO points SELECT i, 'name ' || i FROM generate_series(1, 10000) AS i", "ANALYZE points")
	cfg, err := jackc.ParseConfig(s.URL())
	require.NoError(tb, err)
	pool := sql.OpenDB(stdlib.GetConnector(*cfg))
	theirs = bun.NewDB(pool, pgdialect.New())
	tb.Cleanup(func() { require.NoError(tb, theirs.Close()) })
	for i := range 600 { // More than pgx's cache of statements holds.
		selectPoint(tb, ours, i)
		selectPoint(tb, theirs, i)
	}
	return ours, theirs
}

// selectPoint reads one row by an id that changes from call to call, as in an
// application.
func selectPoint(tb testing.TB, db *bun.DB, i int) {
	tb.Helper()
	p := point{ID: int64(i*7919%10000 + 1)}
	if err := db.NewSelect().Model(&p).WherePK().Scan(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkPointSelect(b *testing.B) {
	ours, theirs := pointDatabases(b)
	for _, c := range []struct {
		name string
		db   *bun.DB
	}{{"echobun", ours}, {"pgx-defaults", theirs}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var i int
			for b.Loop() {
				selectPoint(b, c.db, i)
				i++
			}
		})
	}
	b.Run("paired", func(b *testing.B) {
		// In turns, so that whatever else the machine does hits both; the
		// median, so that it hits neither much.
		var ratios []float64
		for b.Loop() {
			our := pointSelects(b, ours)
			ratios = append(ratios, float64(pointSelects(b, theirs))/float64(our))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "times-as-fast")
	})
}

// pointSelects returns how long it takes to read a hundred rows.
func pointSelects(b *testing.B, db *bun.DB) time.Duration {
	b.Helper()
	start := time.Now()
	for range 100 {
		selectPoint(b, db, rand.IntN(1<<20))
	}
	return time.Since(start)
}
