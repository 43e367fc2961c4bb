package wire

import "context"

// UnitKey is the context key of what identifies a transaction over several
// databases, in the contexts that a connection begins its part with.
type UnitKey struct{}

// UnitOf returns what identifies the transaction over several databases that a
// connection begins its part of, or nil. It can be compared.
func UnitOf(ctx context.Context) any { return ctx.Value(UnitKey{}) }
