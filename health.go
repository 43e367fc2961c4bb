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
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echobun/echobun/internal/sqltext"
)

// healthLimit is how long Health takes if its context says nothing.
const healthLimit = 1500 * time.Millisecond

// What a bind, or all of them, may be.
const (
	healthUp       = "up"
	healthDegraded = "degraded"
	healthDown     = "down"
)

// Health is what [Extension.Health] found. It marshals to JSON, with durations
// in milliseconds.
type Health struct {
	// Status is "up", "degraded" if only binds that are Optional are down, or
	// "down".
	Status string `json:"status"`

	// Binds are the binds by key.
	Binds map[string]BindHealth `json:"binds"`
}

// BindHealth is what [Extension.Health] found of one bind.
type BindHealth struct {
	// Status is "up" if the server answered, else "down".
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

	// Error is why the bind is down. It has no password, but names hosts and users.
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
// those that are optional.
func (h Health) Up() bool { return h.Status != healthDown }

// String is one line, the binds that are down first.
func (h Health) String() string {
	var down []string
	for _, key := range slices.Sorted(maps.Keys(h.Binds)) {
		if b := h.Binds[key]; b.Status != healthUp {
			down = append(down, fmt.Sprintf("%s is down: %s", bindName(key), b.Error))
		}
	}
	if len(down) == 0 {
		return fmt.Sprintf("%s, %d binds", h.Status, len(h.Binds))
	}
	return h.Status + ": " + strings.Join(down, "; ")
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

// Health asks every bind at once whether its server answers, within the time
// that ctx has, or 1.5 s if it has none. It needs no app context. After Close,
// every bind is down.
func (x *Extension) Health(ctx context.Context) Health {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, healthLimit)
		defer cancel()
	}
	found := make([]BindHealth, len(x.engines))
	var all sync.WaitGroup
	for _, e := range x.engines {
		all.Go(func() { found[e.index] = e.health(ctx) })
	}
	all.Wait()

	h := Health{Status: healthUp, Binds: make(map[string]BindHealth, len(found))}
	for _, e := range x.engines {
		b := found[e.index]
		h.Binds[e.key] = b
		switch {
		case b.Status == healthUp || h.Status == healthDown:
		case b.Optional:
			h.Status = healthDegraded
		default:
			h.Status = healthDown
		}
	}
	return h
}

// healthGrace is what a driver gets of the time, and a quarter at most, to say
// why there was no answer.
const healthGrace = 100 * time.Millisecond

// health asks one bind.
func (e *engine) health(ctx context.Context) BindHealth {
	b := BindHealth{Status: healthUp, Optional: e.optional}
	start := time.Now()
	answer := e.answer(ctx)
	b.Latency, b.InDoubt = answer.at.Sub(start), answer.inDoubt
	if answer.err != nil {
		b.Status, b.Error = healthDown, causeOf(answer.err).Error()
		var bindErr *BindError
		if errors.As(answer.err, &bindErr) && strings.HasPrefix(bindErr.Op, opOnConnect) {
			b.Error = sqltext.Reason(causeOf(answer.err)) // It may quote a secret of the statement's.
		}
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
		err := e.ping(asked)
		pinged <- answer{err: err, at: time.Now()}
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
		return answer{err: fmt.Errorf("no answer in time: %w", cmpError(ctx.Err(), context.DeadlineExceeded)), at: time.Now()}
	}
}

// timeLeft returns how long it is to ctx's deadline, which it has.
func timeLeft(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Until(deadline), 0)
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
// JSON, within 1.5 s: 200, also if the application is degraded, or 503 if it is
// down. Mount
// it where operators reach it and others do not, since errors name hosts and
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
