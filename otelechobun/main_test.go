package otelechobun_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/otelechobun"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func sqliteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite:///" + filepath.Join(tb.TempDir(), "test.db")
}

type authModel struct{}

func (authModel) BindKey() string { return "auth" }

type book struct {
	bun.BaseModel `bun:"table:books"`

	ID    int64  `bun:",pk,autoincrement"`
	Title string `bun:"type:varchar(100),unique"`
}

type user struct {
	bun.BaseModel `bun:"table:users"`
	authModel

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:"type:varchar(100)"`
}

// A watched is an extension whose spans and metrics a test reads.
type watched struct {
	*echobun.Extension

	tracer trace.Tracer
	spans  *tracetest.InMemoryExporter
	ledger *ledger
	reader *sdkmetric.ManualReader
	meters *sdkmetric.MeterProvider
}

// watch makes an extension of cfg with its tables made, and forgets the spans
// of that.
func watch(tb testing.TB, cfg echobun.Config, opts ...otelechobun.Option) *watched {
	tb.Helper()
	w := &watched{spans: tracetest.NewInMemoryExporter(), ledger: &ledger{open: make(map[trace.SpanID]string)}, reader: sdkmetric.NewManualReader()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans), sdktrace.WithSpanProcessor(w.ledger))
	w.tracer = tracers.Tracer("test")
	w.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	otelechobun.Instrument(&cfg, append([]otelechobun.Option{
		otelechobun.WithTracerProvider(tracers), otelechobun.WithMeterProvider(w.meters),
	}, opts...)...)

	x, err := echobun.New(cfg)
	require.NoError(tb, err)
	w.Extension = x
	tb.Cleanup(func() {
		require.NoError(tb, x.Close())
		require.NoError(tb, tracers.Shutdown(context.WithoutCancel(tb.Context())))
		require.NoError(tb, w.meters.Shutdown(context.WithoutCancel(tb.Context())))
	})
	models := []any{(*book)(nil)}
	if _, ok := x.Engines()["auth"]; ok {
		models = append(models, (*user)(nil))
	}
	require.NoError(tb, x.Register(models...))
	ctx, end := x.AppContext(tb.Context())
	defer end()
	require.NoError(tb, x.CreateAll(ctx))
	w.spans.Reset()
	return w
}

// twoBinds is a config with the binds "" and "auth" on SQLite.
func twoBinds(tb testing.TB) echobun.Config {
	tb.Helper()
	return echobun.Config{DatabaseURI: sqliteURL(tb), Binds: echobun.Binds{"auth": {URL: sqliteURL(tb)}}}
}

// session returns an app context in a span named "request", and its session.
func (w *watched) session(tb testing.TB) (context.Context, *echobun.Session, trace.Span) {
	tb.Helper()
	ctx, root := w.tracer.Start(context.WithoutCancel(tb.Context()), "request")
	ctx, end := w.AppContext(ctx)
	tb.Cleanup(end)
	db, err := w.Session(ctx)
	require.NoError(tb, err)
	return ctx, db, root
}

// take returns the spans since the last call by name and, in a list, in the
// order of their ends. Of several with one name, the map has the last.
func (w *watched) take() (map[string]tracetest.SpanStub, tracetest.SpanStubs) {
	spans := w.spans.GetSpans()
	w.spans.Reset()
	named := make(map[string]tracetest.SpanStub, len(spans))
	for _, span := range spans {
		named[span.Name] = span
	}
	return named, spans
}

// collect returns the metrics by name.
func (w *watched) collect(tb testing.TB) map[string]metricdata.Metrics {
	tb.Helper()
	var found metricdata.ResourceMetrics
	require.NoError(tb, w.reader.Collect(context.WithoutCancel(tb.Context()), &found))
	named := make(map[string]metricdata.Metrics)
	for _, scope := range found.ScopeMetrics {
		for _, m := range scope.Metrics {
			named[m.Name] = m
		}
	}
	return named
}

// attrs returns the attributes of a span, as text where that says enough.
func attrs(span tracetest.SpanStub) map[attribute.Key]any { return valuesOf(span.Attributes) }

func valuesOf(list []attribute.KeyValue) map[attribute.Key]any {
	values := make(map[attribute.Key]any, len(list))
	for _, attr := range list {
		values[attr.Key] = attr.Value.AsInterface()
	}
	return values
}

// A ledger knows which spans have begun and not ended.
type ledger struct {
	mu   sync.Mutex
	open map[trace.SpanID]string
}

func (l *ledger) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s.SpanContext().SpanID()] = s.Name()
}

func (l *ledger) OnEnd(s sdktrace.ReadOnlySpan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s.SpanContext().SpanID())
}

func (l *ledger) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := []string{}
	for _, name := range l.open {
		names = append(names, name)
	}
	return names
}

func (*ledger) Shutdown(context.Context) error   { return nil }
func (*ledger) ForceFlush(context.Context) error { return nil }

func postgresURL(tb testing.TB) string {
	tb.Helper()
	return dbtest.Postgres(tb).URL()
}

func mariadbURL(tb testing.TB) string {
	tb.Helper()
	return dbtest.MariaDB(tb).URL()
}
