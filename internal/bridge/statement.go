package bridge

import (
	"context"
	"sync"
	"time"

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

	claimed bool      // The session has said so.
	sent    time.Time // When it did; zero unless it was watched by then.
}

// StartOf is when a statement was sent, or began to wait for a connection. The
// first one of a transaction brings about its BEGIN, or that of a savepoint,
// before that, and after Bun has taken the time.
func StartOf(ctx context.Context, event *bun.QueryEvent) time.Time {
	s := StatementOf(ctx)
	if s == nil || s.Event != event || s.sent.IsZero() {
		return event.StartTime
	}
	return s.sent
}

type statementKey struct{}

// TxKey is the context key of what identifies a transaction, in the contexts
// of its BEGIN, COMMIT and ROLLBACK, and of its savepoints.
type TxKey struct{}

// WithTx returns a context that makes the statements sent with it those of one
// transaction, for hooks that watch.
func WithTx(ctx context.Context) context.Context {
	return context.WithValue(ctx, TxKey{}, new(Notes))
}

// Watch is called by BeforeQuery, which returns its context. Of several hooks
// that watch a statement, all get the same one.
func Watch(ctx context.Context, event *bun.QueryEvent) context.Context {
	outer := StatementOf(ctx)
	if outer != nil && outer.Event == event {
		return ctx
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
	s.Session, s.claimed, s.sent = session, true, time.Now()
	if tx != nil {
		s.Tx = tx
	}
	return ctx
}

// Rewrite says that another text is sent in place of query, the statement that
// ctx belongs to: hooks that watch it tell of what the server gets, and know
// it again.
func Rewrite(ctx context.Context, query, sent string) {
	if s := StatementOf(ctx); s != nil && !s.claimed && s.Event != nil && s.Event.Query == query {
		s.Event.Query = sent
	}
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

// Notes returns where hooks keep what they know of the statement's
// transaction, or nil outside of transactions.
func (s *Statement) Notes() *Notes {
	if noted, ok := s.Tx.(interface{ notes() *Notes }); ok {
		return noted.notes()
	}
	return nil
}

// Notes are what hooks keep with a transaction, each under a key of its own,
// until nobody holds that any more. The zero value is ready to be used, and is
// so by several goroutines.
type Notes struct {
	mu sync.Mutex
	m  map[any]any // Protected by mu.
}

func (n *Notes) notes() *Notes { return n }

// Get returns what is kept under key, or nil.
func (n *Notes) Get(key any) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m[key]
}

// Set keeps value under key.
func (n *Notes) Set(key, value any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = make(map[any]any, 1)
	}
	n.m[key] = value
}
