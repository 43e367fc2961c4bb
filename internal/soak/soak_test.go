package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/cutproxy"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const (
	clients     = 64
	calmLimit   = 15 * time.Second // Of a request. The machine may be busy.
	faultLimit  = 2 * time.Second  // The same while there are faults: some hang.
	commitLimit = time.Second
	pause       = 100 * time.Millisecond // The longest between a client's requests.
	samples     = 20_000                 // Of latencies, in each part of the run.
	parts       = 10                     // Faults are on in every second one, and never in the first and the last.
)

// TestSoak keeps 64 clients at work for SOAK_TIME.
func TestSoak(t *testing.T) { //nolint:paralleltest // It measures memory.
	long, err := time.ParseDuration(os.Getenv("SOAK_TIME"))
	if err != nil {
		long = 15 * time.Second
	}
	s := newSite(t)
	s.fill(t, min(int64(long/time.Second)*5, 5000))
	l := newLoad(t, s)
	s.start(t)
	l.run(t.Context(), time.Second, 0) // Makes what is made once.
	s.stop(t)
	l.totals[0] = part{}
	before := rest()

	s.start(t)
	recovering, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { s.recoverFor(recovering) })
	for i := range parts {
		l.part(t, i, long/parts)
	}
	stop()
	background.Wait()
	s.settle(t)
	written := l.requireTruth(t)
	s.stop(t)
	after := rest()

	l.report(t, written, before, after)
	require.LessOrEqual(t, after.goroutines, before.goroutines)
	require.LessOrEqual(t, after.heap, before.heap+2<<20)
	l.requireSteady(t, long)
}

// part runs a part of the test, with faults or without.
func (l *load) part(t *testing.T, i int, long time.Duration) {
	t.Helper()
	faults, calm := context.WithCancel(t.Context())
	var disturbing sync.WaitGroup
	limit := calmLimit
	if i%2 == 1 && i < parts-1 {
		limit = faultLimit
		disturbing.Go(func() { l.s.disturb(faults) })
	}
	l.s.limit.Store(int64(limit))
	l.run(t.Context(), long, i)
	calm()
	disturbing.Wait()
	for _, p := range l.s.proxies {
		p.Disarm()
	}
}

// requireTruth compares what all clients were told with what is there.
func (l *load) requireTruth(t *testing.T) (written int) {
	t.Helper()
	ctx, end := l.s.sound.AppContext(t.Context())
	defer end()
	for _, ledger := range l.ledgers {
		written += ledger.requireTruth(ctx, t, l.s)
	}
	return written
}

// disturb cuts connections at every word of a transaction.
func (s *site) disturb(ctx context.Context) {
	words := []string{"commit", "prepare", "xa end", "xa commit", "insert", "begin", "select"}
	modes := []cutproxy.Mode{cutproxy.DropRequest, cutproxy.DropReply, cutproxy.HangReply}
	for i := 0; ctx.Err() == nil; i++ {
		for _, p := range s.proxies {
			p.Arm(modes[rand.IntN(len(modes))], words[rand.IntN(len(words))])
			if i%20 == 0 {
				p.Cut()
			}
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// A state is what the process holds when the application has stopped.
type state struct {
	heap       uint64
	goroutines int
}

// rest measures, after what ends has had a moment.
func rest() state {
	now := state{goroutines: runtime.NumGoroutine()}
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		now.goroutines = min(now.goroutines, runtime.NumGoroutine())
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	now.heap = m.HeapAlloc
	return now
}

// settle finishes what the faults have left prepared.
func (s *site) settle(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		report, err := s.sound.RecoverPrepared(t.Context())
		return err == nil && len(report.InDoubt) == 0
	}, 20*time.Second, 100*time.Millisecond)
}

// A load is 64 clients.
type load struct {
	s       *site
	ledgers []*ledger
	next    []int64 // Position of each client's next request.
	totals  [parts]part
}

// A part is what was seen in a part of the run.
type part struct {
	mu       sync.Mutex // Protects what follows.
	took     time.Duration
	requests int
	statuses map[int]int
	kinds    [kinds]int
	latency  []time.Duration // A sample.
}

func newLoad(t *testing.T, s *site) *load {
	t.Helper()
	l := &load{s: s, next: make([]int64, clients)}
	for i := range clients {
		l.ledgers = append(l.ledgers, newLedger(t, int64(i+1)))
	}
	return l
}

// run sends requests for d.
func (l *load) run(ctx context.Context, d time.Duration, at int) {
	p := &l.totals[at]
	start := time.Now()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for time.Since(start) < d && ctx.Err() == nil {
				k := kind(rand.IntN(int(kinds)))
				sent := time.Now()
				status := l.send(ctx, i, k)
				p.add(k, status, time.Since(sent))
				wait(ctx, rand.N(pause))
			}
		})
	}
	all.Wait()
	p.took = time.Since(start)
}

func (l *load) send(ctx context.Context, client int, k kind) int {
	ledger, position := l.ledgers[client], l.next[client]
	l.next[client]++
	method := http.MethodPost
	if k == reads {
		method = http.MethodGet
	}
	status := 0
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/%s/%d", l.s.server.URL, k, ledger.id(position)), nil)
	if err == nil {
		var resp *http.Response
		if resp, err = l.s.server.Client().Do(req); err == nil {
			status, err = resp.StatusCode, resp.Body.Close()
		}
	}
	if err != nil {
		status = 0
	}
	if err := ledger.note(k, status); err != nil {
		return 0
	}
	return status
}

func (p *part) add(k kind, status int, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.statuses == nil {
		p.statuses = map[int]int{}
	}
	p.requests++
	p.kinds[k]++
	p.statuses[status]++
	if len(p.latency) < samples {
		p.latency = append(p.latency, took)
	} else if i := rand.IntN(p.requests); i < samples {
		p.latency[i] = took
	}
}

func (p *part) perSecond() float64 { return float64(p.requests) / p.took.Seconds() }

func (l *load) report(t *testing.T, written int, before, after state) {
	t.Helper()
	for i := range l.totals {
		p := &l.totals[i]
		slices.Sort(p.latency)
		at := func(q float64) time.Duration {
			return p.latency[int(q*float64(len(p.latency)-1))].Round(10 * time.Microsecond)
		}
		t.Logf("part %d: %7d requests, %6.0f/s, p50 %v, p95 %v, p99 %v, statuses %v", i+1, p.requests, p.perSecond(),
			at(0.5), at(0.95), at(0.99), p.statuses)
	}
	t.Logf("errors by kind: %v", l.s.refused.counts)
	t.Logf("cuts: PostgreSQL %d, MariaDB %d; complete rows %d", l.s.proxies[0].Cuts(), l.s.proxies[1].Cuts(), written)
	t.Logf("heap %.1f MiB at the start, %.1f MiB at the end; goroutines %d, %d",
		float64(before.heap)/(1<<20), float64(after.heap)/(1<<20), before.goroutines, after.goroutines)
}

// requireSteady asserts that the calm parts are free of errors, and that the
// last is about as fast as the first: short ones on a busy machine may differ.
func (l *load) requireSteady(t *testing.T, long time.Duration) {
	t.Helper()
	first, last := &l.totals[0], &l.totals[parts-1]
	for _, p := range []*part{first, last} {
		require.Zero(t, p.statuses[http.StatusInternalServerError]+p.statuses[0]+p.statuses[http.StatusAccepted], "%v", p.statuses)
	}
	least := 0.9
	if long < time.Minute {
		least = 0.3
	}
	require.GreaterOrEqual(t, last.perSecond(), least*first.perSecond())
}
