package pgx_test

import (
	"database/sql"
	"testing"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

// What this package puts around pgx costs one allocation for each query: its
// rows. Statements without rows cost none.
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
			_, err := db.ExecContext(t.Context(), "SET work_mem = '5MB'")
			require.NoError(t, err)
		})
	}
	// What else the process does may be counted once, but not each time.
	least := func(count func(*sql.DB) float64, db *sql.DB) float64 { return min(count(db), count(db), count(db)) }
	require.LessOrEqual(t, least(query, ours.DB), least(query, plain)+1+raceAllocations)
	require.LessOrEqual(t, least(exec, ours.DB), least(exec, plain)+raceAllocations)
}
