package wire

import "context"

type keyStepKey struct{}

// WithKeyStep returns a context whose statement has a driver that tells of
// several keys the first alone note in step how far they are apart: by more
// than one in a cluster whose nodes count each its own.
func WithKeyStep(ctx context.Context, step *int64) context.Context {
	return context.WithValue(ctx, keyStepKey{}, step)
}

// AsksKeyStep reports whether that is asked for.
func AsksKeyStep(ctx context.Context) bool {
	_, ok := ctx.Value(keyStepKey{}).(*int64)
	return ok
}

// NoteKeyStep notes it, if that is asked for.
func NoteKeyStep(ctx context.Context, step int64) {
	if at, ok := ctx.Value(keyStepKey{}).(*int64); ok {
		*at = step
	}
}
