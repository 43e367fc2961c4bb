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

	claimed bool // The session has said so.
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
	if outer != nil { // It was claimed, or comes from where another one is under way.
		s.Session = outer.Session
		if s.Tx == nil {
			s.Tx = outer.Tx
		}
	}
	return s
}

// Claim says whose the statement of query is that ctx belongs to. One that the
// hooks have not seen yet is theirs by the context that is returned: another
// statement that ctx may belong to, whose rows are being read, stays whose it is.
func Claim(ctx context.Context, query string, session, tx any) context.Context {
	s := StatementOf(ctx)
	if s == nil || s.claimed || s.Event == nil || s.Event.Query != query {
		return &Statement{Context: ctx, Session: session, Tx: tx, claimed: true}
	}
	s.Session, s.claimed = session, true
	if tx != nil {
		s.Tx = tx
	}
	return ctx
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
