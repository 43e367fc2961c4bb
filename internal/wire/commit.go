package wire

import (
	"context"
	"time"
)

// DefaultCommitTimeout is how long a COMMIT or a ROLLBACK may take when
// nobody said otherwise.
const DefaultCommitTimeout = 5 * time.Second

// CommitTimeoutKey is the context key of a commit's time limit, for contexts
// that answer by themselves.
type CommitTimeoutKey struct{}

// BranchKey is the context key of a driver.Branch, likewise.
type BranchKey struct{}

// WithCommitTimeout returns a context that tells a driver's BeginTx how long
// the COMMIT or ROLLBACK of that transaction may take. Zero or less means
// [DefaultCommitTimeout].
func WithCommitTimeout(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, CommitTimeoutKey{}, d)
}

// CommitTimeout returns how long the COMMIT or ROLLBACK of a transaction begun
// with ctx may take.
func CommitTimeout(ctx context.Context) time.Duration {
	if d, ok := ctx.Value(CommitTimeoutKey{}).(time.Duration); ok && d > 0 {
		return d
	}
	return DefaultCommitTimeout
}
