package otelechobun_test

import (
	"cmp"
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/otelechobun"
)

func Example() {
	spans := tracetest.NewInMemoryExporter() // Where an application has its OTLP exporter.
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	cfg := echobun.Config{DatabaseURI: "sqlite://"}
	otelechobun.Instrument(&cfg, otelechobun.WithTracerProvider(tracers))
	ext, err := echobun.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer ext.Close()
	pools, err := otelechobun.RegisterPoolMetrics(ext)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pools.Unregister() }()

	ctx, end := ext.AppContext(context.Background())
	defer end()
	db, err := ext.Session(ctx)
	if err != nil {
		log.Fatal(err)
	}
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewRaw("SELECT ?", "hello").Exec(ctx)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
	}
	// Output:
	// BEGIN
	// SELECT
	// COMMIT
	// transaction
}

// Prometheus' own collector reads each pool: its label db_name is the bind key.
func Example_prometheus() {
	ext, err := echobun.New(echobun.Config{
		DatabaseURI: "sqlite://",
		Binds:       echobun.Binds{"auth": {URL: "sqlite://", MaxOpenConns: 8}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer ext.Close()

	registry := prometheus.NewRegistry()
	for key, db := range ext.Engines() {
		registry.MustRegister(collectors.NewDBStatsCollector(db.DB, cmp.Or(key, "default")))
	}

	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "go_sql_max_open_connections" {
			continue
		}
		for _, m := range family.GetMetric() {
			fmt.Println(m.GetLabel()[0].GetValue(), m.GetGauge().GetValue())
		}
	}
	// Output:
	// auth 8
	// default 100
}
