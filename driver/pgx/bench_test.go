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

// BenchmarkCommit measures what the question for the transaction's id, which
// goes before each COMMIT, costs beside a COMMIT alone. It is a round trip. The
// server of the tests does not sync, so a COMMIT is as cheap as it can be.
func BenchmarkCommit(b *testing.B) {
	s := dbtest.Postgres(b)
	ours := open(b, s.URL(), "")
	exec(b, ours, "CREATE TABLE writes (n bigint)")
	cfg, err := jackc.ParseConfig(s.URL())
	require.NoError(b, err)
	theirs := sql.OpenDB(stdlib.GetConnector(*cfg))
	b.Cleanup(func() { require.NoError(b, theirs.Close()) })
	var our, their []time.Duration
	for b.Loop() { // In turns, so that whatever else the machine does hits both.
		our = append(our, commitOne(b, ours.DB))
		their = append(their, commitOne(b, theirs))
	}
	x, y := median(our), median(their)
	b.ReportMetric(float64(x.Nanoseconds())/1e3, "us/commit")
	b.ReportMetric(float64(y.Nanoseconds())/1e3, "us/pgx-commit")
	b.ReportMetric(float64((x-y).Nanoseconds())/1e3, "us-more")
}

// commitOne returns how long the Commit of a transaction with one row takes.
func commitOne(b *testing.B, db *sql.DB) time.Duration {
	b.Helper()
	tx, err := db.BeginTx(b.Context(), nil)
	require.NoError(b, err)
	_, err = tx.ExecContext(b.Context(), "INSERT INTO writes VALUES (1)")
	require.NoError(b, err)
	start := time.Now()
	err = tx.Commit()
	took := time.Since(start)
	require.NoError(b, err)
	return took
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
