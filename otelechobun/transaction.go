package otelechobun

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/echobun/echobun/internal/bridge"
	"github.com/echobun/echobun/internal/sqltext"
)

// OutcomeKey is the key of the attribute that says how a transaction has ended:
// one of the Outcome constants.
const OutcomeKey = attribute.Key("echobun.transaction.outcome")

// How a transaction ends on a bind.
const (
	OutcomeCommitted  = "committed"
	OutcomeRolledBack = "rolled_back"
	OutcomePrepared   = "prepared"  // By a two-phase commit, which goes on outside of it.
	OutcomeFailed     = "failed"    // BEGIN, COMMIT, PREPARE or ROLLBACK has.
	OutcomeAbandoned  = "abandoned" // Its context has ended without any of these.
)

// A transaction is the span of one, on one bind. The transaction itself and
// the context of its BEGIN hold it, and nobody else does: there is no list
// that it could stay on.
type transaction struct {
	span   trace.Span
	parent trace.SpanContext
	stop   func() bool // Stops watching the context.

	mu    sync.Mutex // Protects what follows.
	begun time.Time  // When the answer to BEGIN came.
	over  bool
}

type transactionKey struct{ h *hook }

// begin begins the span of a transaction. Bun's context of a BEGIN ends, at
// the latest, when the transaction has been given up: a hook that panics may
// keep COMMIT and ROLLBACK from being seen.
func (h *hook) begin(ctx context.Context, event *bun.QueryEvent) *transaction {
	attrs := append(slices.Clip(h.attrs), systemOf(event.DB))
	t := &transaction{parent: trace.SpanContextFromContext(ctx)}
	_, t.span = h.tracer.Start(ctx, strings.TrimSpace("transaction "+target(h.attrs)),
		trace.WithTimestamp(event.StartTime), trace.WithAttributes(attrs...))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop = context.AfterFunc(ctx, func() { t.abandon(context.Cause(ctx)) })
	return t
}

// transactionOf returns the transaction that a statement belongs to, or nil.
func (h *hook) transactionOf(ctx context.Context, event *bun.QueryEvent) *transaction {
	if st := bridge.StatementOf(ctx); st != nil && st.Event == event {
		if notes := st.Notes(); notes != nil {
			t, _ := notes.Get(h).(*transaction)
			return t // Also if it has just ended.
		}
	}
	t, _ := ctx.Value(transactionKey{h}).(*transaction)
	if t != nil && t.isOver() && !isStep(event) {
		return nil
	}
	return t
}

// adopt returns ctx with the transaction's span as parent, and a link to the
// span that would have been it, if that is another one than the transaction's own parent.
func (t *transaction) adopt(ctx context.Context, opts *[]trace.SpanStartOption) context.Context {
	if caller := trace.SpanContextFromContext(ctx); caller.IsValid() && !caller.Equal(t.parent) {
		*opts = append(*opts, trace.WithLinks(trace.Link{SpanContext: caller}))
	}
	return trace.ContextWithSpan(ctx, t.span)
}

// notBefore returns when a statement was sent. Bun begins to count when it is
// built, which may be before the BEGIN that it brings about.
func (t *transaction) notBefore(event *bun.QueryEvent, start time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !isPlain(event, "BEGIN") && t.begun.After(start) {
		return t.begun
	}
	return start
}

// abandon ends the transaction because its context has ended: while BEGIN was
// waited for, or later.
func (t *transaction) abandon(cause error) {
	t.mu.Lock()
	outcome := OutcomeAbandoned
	if t.begun.IsZero() {
		outcome = OutcomeFailed
	}
	t.mu.Unlock()
	t.end(outcome, cause, time.Now())
}

// isStep reports whether event begins or ends a transaction.
func isStep(event *bun.QueryEvent) bool {
	return isPlain(event, "BEGIN") || isPlain(event, "COMMIT") || isPlain(event, "ROLLBACK")
}

// after ends the transaction if event does.
func (t *transaction) after(event *bun.QueryEvent, op operation, err error, end time.Time) {
	if event.IQuery != nil {
		return
	}
	switch {
	case event.Query == "BEGIN" && err == nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.begun = end
	case event.Query == "BEGIN":
		t.end(OutcomeFailed, err, end)
	case event.Query == "COMMIT" && err != nil:
		t.end(OutcomeFailed, err, end)
	case op.name == "PREPARE":
		t.end(OutcomePrepared, nil, end)
	case event.Query == "COMMIT":
		t.end(OutcomeCommitted, nil, end)
	case event.Query == "ROLLBACK" && err != nil && !isDone(err):
		t.end(OutcomeFailed, err, end)
	case event.Query == "ROLLBACK":
		t.end(OutcomeRolledBack, nil, end)
	}
}

// end ends the span, once.
func (t *transaction) end(outcome string, err error, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	t.stop()
	t.span.SetAttributes(OutcomeKey.String(outcome))
	if err != nil {
		t.span.SetAttributes(failureOf(err)...)
		t.span.SetStatus(codes.Error, sqltext.Reason(err))
	}
	t.span.End(trace.WithTimestamp(end))
}

func (t *transaction) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}
