package otelechobun

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
	"github.com/echobun/echobun/internal/sqltext"
)

// A hook makes the spans and metrics of one bind.
//
// Which transaction a statement belongs to is known once it has been sent. So
// its span is made when it is over, with the time at which it began.
type hook struct {
	tracer   trace.Tracer
	duration dbconv.ClientOperationDuration
	attrs    []attribute.KeyValue // Of everything. Never changes.
}

var _ bun.QueryHook = (*hook)(nil)

// newDuration makes the histogram, with the buckets that the conventions ask for.
func newDuration(m metric.Meter) dbconv.ClientOperationDuration {
	d, err := dbconv.NewClientOperationDuration(m,
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10))
	if err != nil {
		otel.Handle(err) // It counts nothing then.
	}
	return d
}

// BeforeQuery begins the span of a transaction, and has the session say whose
// statement it is.
func (h *hook) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	outer := ctx
	ctx = bridge.Watch(ctx, event)
	st := bridge.StatementOf(ctx)
	if !isPlain(event, "BEGIN") || st.Tx == nil && st.Session != nil {
		return ctx // The second is a BEGIN that was written by hand.
	}
	t := h.begin(outer, event)
	if notes := st.Notes(); notes != nil {
		notes.Set(h, t)
	}
	return context.WithValue(ctx, transactionKey{h}, t)
}

// AfterQuery makes the span of a statement, and ends that of a transaction.
func (h *hook) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	end := time.Now()
	err := event.Err
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && errors.Is(cause, echobun.ErrPoolTimeout) {
		err = cause // As the session will say.
	}
	t := h.transactionOf(ctx, event)
	op := operationOf(ctx, event)
	if op.name != "ROLLBACK" || !errors.Is(err, sql.ErrTxDone) { // Which was not sent.
		h.record(ctx, event, op, t, err, end)
	}
	if t != nil {
		t.after(event, op, err, end)
	}
}

// record makes the span of a statement and counts it.
func (h *hook) record(ctx context.Context, event *bun.QueryEvent, op operation, t *transaction, err error, end time.Time) {
	start := bridge.StartOf(ctx, event)
	attrs := append(slices.Clip(h.attrs), op.attrs(event)...)
	failure := failureOf(err)
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	if t != nil {
		start = t.notBefore(event, start)
		ctx = t.adopt(ctx, &opts)
	}
	opts = append(opts, trace.WithTimestamp(start), trace.WithAttributes(attrs...))
	if op.text != "" {
		opts = append(opts, trace.WithAttributes(textOf(op.text)))
	}
	ctx, span := h.tracer.Start(ctx, op.spanName(event, h.attrs), opts...)
	if failure != nil {
		span.SetAttributes(failure...)
		span.SetStatus(codes.Error, sqltext.Reason(err))
	}
	span.End(trace.WithTimestamp(end))

	attrs = append(attrs, failure...)
	h.duration.RecordSet(ctx, max(0, end.Sub(start)).Seconds(), attribute.NewSet(slices.Clone(attrs)...)) // It sorts what it is given.
}

// isPlain reports whether event is what Bun sends for a step of a transaction.
func isPlain(event *bun.QueryEvent, step string) bool {
	return event.IQuery == nil && event.Query == step
}
