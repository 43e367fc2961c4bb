package wire

import "context"

// UnitKey is the context key of what identifies a transaction over several
// databases, in the contexts that a connection begins its part with.
type UnitKey struct{}

// UnitOf returns what identifies the transaction over several databases that a
// connection begins its part of, or nil. It can be compared.
func UnitOf(ctx context.Context) any { return ctx.Value(UnitKey{}) }

// WithUnit returns a context of transactions that end together, as far as whoever
// begins them can tell. If ctx is one of a unit already, it stays that.
func WithUnit(ctx context.Context) context.Context {
	if UnitOf(ctx) != nil {
		return ctx
	}
	return context.WithValue(ctx, UnitKey{}, new(byte))
}
