package echobun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/internal/sqltext"
)

// healthLimit is how long Health takes if its context says nothing.
const healthLimit = 1500 * time.Millisecond

// healthAtOnce is how many binds are asked at the same time. Opening a thousand
// connections at once takes all of them longer than there is time.
const healthAtOnce = 32

// What a bind, or all of them, may be, from the best to the worst.
const (
	healthUp       = "up"
	healthUnknown  = "unknown"
	healthBusy     = "busy"
	healthDegraded = "degraded"
	healthDown     = "down"
)

var healthOrder = []string{healthUp, healthUnknown, healthBusy, healthDegraded, healthDown}

// Health is what [Extension.Health] found. It marshals to JSON, with durations
// in milliseconds.
type Health struct {
	// Status is "up"; "down"; "degraded" if only binds that are Optional are
	// down; "busy" if none is down and the pool of one is full; or "unknown" if
	// there was no time to ask some, and the others are up.
	Status string `json:"status"`

	// Binds are the binds by key.
	Binds map[string]BindHealth `json:"binds"`
}

// BindHealth is what [Extension.Health] found of one bind.
type BindHealth struct {
	// Status is "up" if the server answered; "busy" if it answers, but all
	// connections of the pool are in use; "unknown" if it was not asked, for
	// there was no time left; else "down". The pool of an engine of the user's
	// own is "down" when it is full: nobody else can ask its server.
	Status string `json:"status"`

	// Optional is EngineOptions.Optional.
	Optional bool `json:"optional"`

	// Latency is how long the answer took, with the wait for a connection.
	Latency time.Duration `json:"-"`

	// Pool is what the pool counts.
	Pool PoolHealth `json:"pool"`

	// InDoubt is how many transactions of this application are prepared
	// there: those that wait for [Extension.RecoverPrepared], and those that
	// are being committed at the moment. It is zero for a bind that has not
	// taken part in two-phase commit, or could not be asked.
	InDoubt int `json:"in_doubt"`

	// Error is why the bind is not up. It has no password, but names hosts and users.
	Error string `json:"error,omitempty"`
}

// PoolHealth is the state of a pool of connections.
type PoolHealth struct {
	Max   int           `json:"max"` // Zero means no limit.
	Open  int           `json:"open"`
	InUse int           `json:"in_use"`
	Idle  int           `json:"idle"`
	Waits int64         `json:"waits"` // Since New.
	Wait  time.Duration `json:"-"`     // All waits together.
}

// Up reports whether the application can do its work: no bind is down but
// those that are optional. One that is busy works, as much as it can.
func (h Health) Up() bool { return h.Status != healthDown }

// healthNamed is how many binds String names.
const healthNamed = 10

// String is one line, with the binds that are not up, the worst first. It names
// ten of them at most.
func (h Health) String() string {
	var texts []string
	for _, key := range h.worst() {
		b := h.Binds[key]
		texts = append(texts, fmt.Sprintf("%s is %s: %s", bindName(key), b.Status, b.Error))
	}
	switch {
	case len(texts) == 0:
		return fmt.Sprintf("%s, %d binds", h.Status, len(h.Binds))
	case len(texts) > healthNamed:
		texts = append(texts[:healthNamed], fmt.Sprintf("and %d more", len(texts)-healthNamed))
	}
	return h.Status + ": " + strings.Join(texts, "; ")
}

// worst returns the keys of the binds that are not up, the worst first.
func (h Health) worst() (keys []string) {
	for i := len(healthOrder) - 1; i > 0; i-- {
		for _, key := range slices.Sorted(maps.Keys(h.Binds)) {
			if h.Binds[key].Status == healthOrder[i] {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// MarshalJSON adds the latency in milliseconds.
func (b BindHealth) MarshalJSON() ([]byte, error) {
	type plain BindHealth
	return json.Marshal(struct {
		plain

		Latency float64 `json:"latency_ms"`
	}{plain(b), milliseconds(b.Latency)})
}

// MarshalJSON adds the wait in milliseconds.
func (p PoolHealth) MarshalJSON() ([]byte, error) {
	type plain PoolHealth
	return json.Marshal(struct {
		plain

		Wait float64 `json:"wait_ms"`
	}{plain(p), milliseconds(p.Wait)})
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// Health asks every bind whether its server answers, 32 at the same time, within
// the time that ctx has, or 1.5 s if it has none. It needs no app context.
// After Close, every bind is down.
func (x *Extension) Health(ctx context.Context) Health {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, healthLimit)
		defer cancel()
	}
	keys := x.keys()
	found := make([]BindHealth, len(keys))
	start := time.Now()
	var (
		all  sync.WaitGroup
		next atomic.Int64
	)
	for range min(healthAtOnce, len(keys)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(keys)); i = next.Add(1) - 1 {
				found[i] = x.engines[keys[i]].health(ctx, time.Since(start) > healthGrace)
			}
		})
	}
	all.Wait()

	h := Health{Status: healthUp, Binds: make(map[string]BindHealth, len(found))}
	for i, key := range keys {
		h.Binds[key] = found[i]
		h.Status = worse(h.Status, found[i])
	}
	return h
}

// worse returns what all binds are if the others are so, and b is one of them.
func worse(status string, b BindHealth) string {
	if b.Optional && b.Status == healthDown {
		b.Status = healthDegraded
	}
	if slices.Index(healthOrder, b.Status) > slices.Index(healthOrder, status) {
		return b.Status
	}
	return status
}

// healthGrace is what a driver gets of the time, and a quarter at most, to say
// why there was no answer.
const healthGrace = 100 * time.Millisecond

// errNoTime is why a bind was not asked.
var errNoTime = errors.New("there was no time to ask it")

// health asks one bind. One that has had to wait for others is not down for
// want of time.
func (e *engine) health(ctx context.Context, waited bool) BindHealth {
	b := BindHealth{Status: healthUp, Optional: e.optional}
	start := time.Now()
	a := answer{err: errNoTime, at: start, late: true}
	if !waited || timeLeft(ctx) > healthGrace {
		a = e.answer(ctx)
	}
	b.Latency, b.InDoubt = a.at.Sub(start), a.inDoubt
	if a.err != nil {
		b.Status, b.Error = healthDown, causeOf(a.err).Error()
		var bindErr *BindError
		if errors.As(a.err, &bindErr) && strings.HasPrefix(bindErr.Op, opOnConnect) {
			b.Error = sqltext.Reason(causeOf(a.err)) // It may quote a secret of the statement's.
		}
	}
	switch {
	case a.busy:
		b.Status = healthBusy
	case waited && a.late:
		b.Status, b.Error = healthUnknown, errNoTime.Error()
	}
	stats := e.db.Stats()
	b.Pool = PoolHealth{
		Max: stats.MaxOpenConnections, Open: stats.OpenConnections, InUse: stats.InUse, Idle: stats.Idle,
		Waits: stats.WaitCount, Wait: stats.WaitDuration,
	}
	return b
}

// An answer is what a server has to say.
type answer struct {
	err     error
	busy    bool      // It answers, and err is why nobody else gets a connection.
	late    bool      // There was no more time.
	at      time.Time // Of the answer to the ping.
	inDoubt int
}

// answer asks the server for one. A driver may take its time to give up a
// connection whose context has ended: that is not waited for.
func (e *engine) answer(ctx context.Context) answer {
	if e.metadata.x.closed.Load() {
		return answer{err: ErrClosed, at: time.Now()}
	}
	left := timeLeft(ctx)
	asked, cancel := context.WithTimeout(ctx, left-min(healthGrace, left/4))
	pinged, counted := make(chan answer, 1), make(chan int, 1)
	go func() {
		defer cancel()
		busy, err := e.ask(asked)
		pinged <- answer{err: err, busy: busy, late: asked.Err() != nil, at: time.Now()}
		n := 0
		if err == nil {
			n = e.inDoubt(asked)
		}
		counted <- n
	}()
	late := time.NewTimer(left)
	defer late.Stop()
	select {
	case a := <-pinged:
		select {
		case a.inDoubt = <-counted:
		case <-late.C:
		}
		return a
	case <-late.C:
		err := fmt.Errorf("no answer in time: %w", cmpError(ctx.Err(), context.DeadlineExceeded))
		return answer{err: err, late: true, at: time.Now()}
	}
}

// timeLeft returns how long it is to ctx's deadline, which it has.
func timeLeft(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Until(deadline), 0)
}

// ask asks the server through the pool. If that is full, it is asked beside the
// pool halfway: those that hold all connections may do so because the server
// does not answer, or because they have much to do.
func (e *engine) ask(ctx context.Context) (busy bool, err error) {
	if !e.full() {
		return false, e.ping(ctx)
	}
	waiting, cancel := context.WithTimeout(ctx, timeLeft(ctx)/2)
	err = e.ping(waiting)
	cancel()
	if !errors.Is(err, ErrPoolTimeout) {
		return false, err
	}
	if beside := e.commits.conns().PingContext(ctx); beside != nil {
		return false, beside
	}
	return true, err
}

// full reports whether all connections of the pool are in use, and its server
// can be asked beside it.
func (e *engine) full() bool {
	return e.owned && e.pool.size > 0 && e.pool.inUse() >= e.pool.size && e.isolation.Load() == nil
}

// ping asks the server for an answer.
func (e *engine) ping(ctx context.Context) error {
	ctx, w := e.pool.enter(ctx)
	err := e.db.PingContext(ctx)
	e.pool.leave(w)
	w.release()
	if err != nil {
		return e.statementError(w, "ping", err)
	}
	return nil
}

// inDoubt counts what this application has prepared on the engine, in this
// process or in an earlier one. It is 0 if the server does not tell.
func (e *engine) inDoubt(ctx context.Context) int {
	tp := e.twoPhase()
	if tp == nil {
		return 0
	}
	connect := e.commits.conn
	if e.commits.home() == "" {
		connect = e.db.Conn // Who does not use two-phase commit needs no connections of its log.
	}
	ids, err := e.listPrepared(ctx, tp, connect)
	if err != nil {
		return 0
	}
	return len(e.ours(ids))
}

// HealthHandler returns a handler that answers with [Extension.Health] as
// JSON, within 1.5 s: 503 if the application is down, else 200. So a load
// balancer takes nothing away from a process that is busy, whose requests the
// others would have to answer as well. Mount it where operators reach it and others do not, since errors name hosts and
// users:
//
//	e.GET("/health", ext.HealthHandler())
func (x *Extension) HealthHandler() echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), healthLimit)
		defer cancel()
		h := x.Health(ctx)
		status := http.StatusOK
		if !h.Up() {
			status = http.StatusServiceUnavailable
		}
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		return c.JSON(status, h)
	}
}
