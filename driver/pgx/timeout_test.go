package pgx_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/cutproxy"
)

// TestTimeoutIsKnownToPgconn asks pgconn, as code that was written for pgx does.
func TestTimeoutIsKnownToPgconn(t *testing.T) {
	t.Parallel()
	db, _, p := proxied(t, "")
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	for name, run := range map[string]func(ctx context.Context) error{
		"a statement": func(ctx context.Context) error { _, err := db.ExecContext(ctx, "SELECT pg_sleep(5)"); return err },
		"a query": func(ctx context.Context) error {
			return db.QueryRowContext(ctx, "SELECT pg_sleep(5)").Err()
		},
		"in a transaction": func(ctx context.Context) error { _, err := tx.ExecContext(ctx, "SELECT pg_sleep(5)"); return err },
		"no answer": func(ctx context.Context) error {
			p.Arm(cutproxy.HangReply, "insert into")
			_, err := db.ExecContext(ctx, "INSERT INTO writes (n) VALUES (1)")
			return err
		},
	} {
		exec(t, db, "SELECT 1") // So there is a connection.
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := run(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.True(t, pgconn.Timeout(err), "%s: %v", name, err)
		require.False(t, pgconn.SafeToRetry(err), "%s: %v", name, err)

		exec(t, db, "SELECT 1")
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		err = run(ctx)
		require.Error(t, err, name)
		require.False(t, pgconn.Timeout(err), "%s: %v", name, err)
	}
}
