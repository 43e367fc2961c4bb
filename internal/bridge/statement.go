package bridge

import (
	"context"

	"github.com/uptrace/bun"
)

// A Statement is what the query hooks of this module learn about the
// statement that they watch. It is the context of the statement; the session
// that sends it says there whose it is.
type Statement struct {
	context.Context //nolint:containedctx // It is a context itself.

	Event   *bun.QueryEvent
	Session any // *echobun.Session, or nil if none has sent it.
	Tx      any // Something that all statements of a transaction on one bind have in common, or nil.
}

type statementKey struct{}

// TxKey is the context key of what identifies a transaction, in the contexts
// of its BEGIN, COMMIT and ROLLBACK.
type TxKey struct{}

// Watch is called by BeforeQuery. Of several hooks that watch a statement, all
// get the same one.
func Watch(ctx context.Context, event *bun.QueryEvent) *Statement {
	outer := StatementOf(ctx)
	if outer != nil && outer.Event == event {
		return outer
	}
	s := &Statement{Context: ctx, Event: event, Tx: ctx.Value(TxKey{})}
	if outer != nil && s.Tx == nil { // The query of a relation.
		s.Session, s.Tx = outer.Session, outer.Tx
	}
	return s
}

// StatementOf returns the innermost statement that is watched, or nil. It is
// called by AfterQuery, and by the session.
func StatementOf(ctx context.Context) *Statement {
	s, _ := ctx.Value(statementKey{}).(*Statement)
	return s
}

// Value returns s itself for StatementOf.
func (s *Statement) Value(key any) any {
	if key == (statementKey{}) {
		return s
	}
	return s.Context.Value(key)
}
