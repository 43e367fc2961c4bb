package otelechobun

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

// defaultPool is the name of the default bind's pool, whose key is empty.
const defaultPool = "default"

// RegisterPoolMetrics has the pools of ext observed whenever metrics are
// collected:
//
//   - db.client.connection.count, by db.client.connection.state
//   - db.client.connection.max and db.client.connection.idle.max, where there
//     is a limit
//   - db.client.connection.pending_requests and db.client.connection.timeouts,
//     of sessions
//
// each with db.client.connection.pool.name, the bind key or "default", and
// [BindKey]. An engine that came in through EngineOptions.DB has the first two
// only, as far as database/sql knows them. WithTracerProvider has no effect here.
//
// Unregister the registration when ext is closed.
func RegisterPoolMetrics(ext *echobun.Extension, opts ...Option) (metric.Registration, error) {
	s := newSettings(opts)
	meter := s.meter()
	i, err := newPoolInstruments(meter)
	if err != nil {
		return nil, err
	}
	engines := ext.Engines()
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for key, db := range engines {
			attrs := append([]attribute.KeyValue{
				BindKey.String(key), semconv.DBClientConnectionPoolName(cmp.Or(key, defaultPool)),
			}, s.attrs...)
			stats := db.Stats()
			i.open(o, stats.InUse, stats.Idle, stats.MaxOpenConnections, attrs)
			if pool, ours := bridge.PoolOf(ext, key); ours {
				i.own(o, pool, attrs)
			}
		}
		return nil
	}, i.count, i.max, i.idleMax, i.pending, i.timeouts)
}

type poolInstruments struct {
	count, max, idleMax, pending metric.Int64ObservableUpDownCounter
	timeouts                     metric.Int64ObservableCounter
}

func newPoolInstruments(m metric.Meter) (poolInstruments, error) {
	count, err1 := dbconv.NewClientConnectionCountObservable(m)
	most, err2 := dbconv.NewClientConnectionMaxObservable(m)
	idleMax, err3 := dbconv.NewClientConnectionIdleMaxObservable(m)
	pending, err4 := dbconv.NewClientConnectionPendingRequestsObservable(m)
	timeouts, err5 := dbconv.NewClientConnectionTimeoutsObservable(m)
	return poolInstruments{
		count: count.Inst(), max: most.Inst(), idleMax: idleMax.Inst(), pending: pending.Inst(), timeouts: timeouts.Inst(),
	}, errors.Join(err1, err2, err3, err4, err5)
}

// open observes what database/sql counts.
func (i poolInstruments) open(o metric.Observer, used, idle, most int, attrs []attribute.KeyValue) {
	n := len(attrs)
	for state, count := range map[dbconv.ClientConnectionStateAttr]int{
		dbconv.ClientConnectionStateUsed: used, dbconv.ClientConnectionStateIdle: idle,
	} {
		o.ObserveInt64(i.count, int64(count), metric.WithAttributes(
			append(attrs[:n:n], semconv.DBClientConnectionStateKey.String(string(state)))...))
	}
	if most > 0 {
		o.ObserveInt64(i.max, int64(most), metric.WithAttributes(attrs...))
	}
}

// own observes what an extension counts.
func (i poolInstruments) own(o metric.Observer, p bridge.Pool, attrs []attribute.KeyValue) {
	set := metric.WithAttributeSet(attribute.NewSet(slices.Clone(attrs)...))
	if p.MaxIdle > 0 {
		o.ObserveInt64(i.idleMax, int64(p.MaxIdle), set)
	}
	o.ObserveInt64(i.pending, p.Pending, set)
	o.ObserveInt64(i.timeouts, p.Timeouts, set)
}
