package wire

import "context"

type newTableKey struct{}

// WithNewTable returns a context for a CREATE TABLE that a builder has written,
// with names and types but no options of the table. A driver may add those
// without which values would not be kept.
func WithNewTable(ctx context.Context) context.Context {
	return context.WithValue(ctx, newTableKey{}, true)
}

// NewTable reports whether ctx comes from [WithNewTable].
func NewTable(ctx context.Context) bool {
	is, _ := ctx.Value(newTableKey{}).(bool)
	return is
}
