package pgx_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/wire"
)

// TestHungConnectionIsClosed has nothing answer in a transaction. The server
// keeps its locks for as long as it has a client, of which pgx makes 15 s.
func TestHungConnectionIsClosed(t *testing.T) {
	t.Parallel()
	db, beside, p := proxied(t, "")
	exec(t, beside, "INSERT INTO writes (n) VALUES (1)")
	for _, how := range []string{"statement", "COMMIT", "ROLLBACK"} {
		tx, err := db.BeginTx(wire.WithCommitTimeout(t.Context(), 500*time.Millisecond), nil)
		require.NoError(t, err)
		exec(t, tx, "UPDATE writes SET n = n + 1")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		switch how {
		case "statement":
			p.Arm(cutproxy.HangRequest, "select 'hang'")
			_, err = tx.ExecContext(ctx, "SELECT 'hang'")
			require.Error(t, err)
		case "COMMIT":
			p.Arm(cutproxy.HangRequest, "commit")
			require.Error(t, tx.Commit())
		case "ROLLBACK":
			p.Arm(cutproxy.HangRequest, "rollback")
			_ = tx.Rollback()
		}
		cancel()
		start := time.Now()
		exec(t, beside, "UPDATE writes SET n = 0")
		require.Less(t, time.Since(start), 2*time.Second, how)
		_ = tx.Rollback()
	}
}
