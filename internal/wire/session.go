package wire

import "context"

type ownSessionKey struct{}

// WithOwnSession returns a context whose statements may change the session
// that they run in: what they set belongs to each session of the pool, or is
// taken back. After any other change a driver gives the connection up rather
// than hand it to the next borrower.
func WithOwnSession(ctx context.Context) context.Context {
	return context.WithValue(ctx, ownSessionKey{}, true)
}

// OwnSession reports whether ctx comes from [WithOwnSession].
func OwnSession(ctx context.Context) bool {
	own, _ := ctx.Value(ownSessionKey{}).(bool)
	return own
}
