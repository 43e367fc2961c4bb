package otelechobun

import (
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation, for tracers and meters.
const scope = "github.com/echobun/echobun/otelechobun"

// An Option changes what [Instrument] and [RegisterPoolMetrics] do.
type Option func(*settings)

type settings struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	attrs   []attribute.KeyValue
}

// WithTracerProvider says who takes the spans. Default: OpenTelemetry's global
// provider.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *settings) { s.tracers = p }
}

// WithMeterProvider says who takes the metrics. Default: OpenTelemetry's
// global provider.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(s *settings) { s.meters = p }
}

// WithAttributes adds attributes to every span and to every metric, so they
// must not differ from one statement to the next. Default: none.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return func(s *settings) { s.attrs = append(s.attrs, attrs...) }
}

func newSettings(opts []Option) settings {
	s := settings{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider()}
	for _, opt := range opts {
		opt(&s)
	}
	s.attrs = slices.Clip(s.attrs)
	return s
}

func (s settings) tracer() trace.Tracer {
	return s.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (s settings) meter() metric.Meter {
	return s.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}
