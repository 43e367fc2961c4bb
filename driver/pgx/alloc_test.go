package pgx_test

import (
	"database/sql"
	"testing"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

// What this package puts around pgx costs no allocation: its rows serve one
// query after another.
func TestAllocations(t *testing.T) { //nolint:paralleltest // It counts allocations.
	s := dbtest.Postgres(t)
	cfg, err := jackc.ParseConfig(s.URL())
	require.NoError(t, err)
	cfg.DefaultQueryExecMode = jackc.QueryExecModeExec
	plain := sql.OpenDB(stdlib.GetConnector(*cfg))
	defer plain.Close()
	ours := open(t, s.URL(), "")
	query := func(db *sql.DB) float64 {
		return testing.AllocsPerRun(500, func() {
			var n int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n))
		})
	}
	exec := func(db *sql.DB) float64 {
		return testing.AllocsPerRun(500, func() {
			_, err := db.ExecContext(t.Context(), "NOTIFY nobody")
			require.NoError(t, err)
		})
	}
	requireAtMost(t, "a query", query, ours.DB, plain, raceAllocations)
	requireAtMost(t, "a statement", exec, ours.DB, plain, raceAllocations)
}

// requireAtMost requires that ours allocates no more than a few times more
// than plain. Counts are rounded down, and of the whole process: one may be
// off, but not each time.
func requireAtMost(t *testing.T, what string, count func(*sql.DB) float64, ours, plain *sql.DB, more float64) {
	t.Helper()
	var x, y float64
	for range 10 {
		if x, y = count(ours), count(plain); x <= y+more {
			return
		}
	}
	t.Errorf("%s allocates %v times, and %v times with pgx alone", what, x, y)
}
