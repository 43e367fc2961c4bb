package survive_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// newToxic returns a proxy to a server, which is to be poisoned.
func newToxic(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(api, t.Name(), "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

// poison adds toxics, each to one direction or to both.
func poison(t *testing.T, p *toxiproxy.Proxy, kind, attributes string, directions ...string) {
	t.Helper()
	for _, d := range directions {
		_, err := p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
			`{"name": "%s %s", "type": %q, "stream": %q, "attributes": %s}`, kind, d, kind, d, attributes)))
		require.NoError(t, err)
	}
}

// grace is what a call may take beyond its deadline: the drivers give the
// server 200 ms to answer a request to stop, and the machine may be busy.
func grace() time.Duration { return pick(2*time.Second, 300*time.Millisecond) }

// A fault is something that is wrong with the network.
type fault struct {
	name  string
	begin func(t *testing.T, p *toxiproxy.Proxy, r *relay)
	slow  bool // Nothing has to fail by it.
}

var faults = []fault{
	{"latency of 500 ms", func(t *testing.T, p *toxiproxy.Proxy, _ *relay) {
		t.Helper()
		poison(t, p, "latency", `{"latency": 500}`, "downstream")
	}, true},
	{"1 kB a second", func(t *testing.T, p *toxiproxy.Proxy, _ *relay) {
		t.Helper()
		poison(t, p, "bandwidth", `{"rate": 1}`, "upstream", "downstream")
	}, false},
	{"truncated answers", func(t *testing.T, p *toxiproxy.Proxy, _ *relay) {
		t.Helper()
		poison(t, p, "limit_data", `{"bytes": 3000}`, "downstream")
	}, false},
	{"black hole", func(t *testing.T, p *toxiproxy.Proxy, _ *relay) {
		t.Helper()
		poison(t, p, "timeout", `{"timeout": 0}`, "upstream", "downstream")
	}, false},
	{"half-open connections", func(t *testing.T, _ *toxiproxy.Proxy, r *relay) {
		t.Helper()
		require.Positive(t, r.forget())
	}, false},
}

// TestNetworkFaults has reads and writes go over a network that has faults:
// each succeeds or fails in time, and none gets another one's rows.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for _, f := range faults {
			t.Run(k.name+" "+f.name, func(t *testing.T) {
				t.Parallel()
				server := k.fresh(t)
				p := newToxic(t, server.Addr())
				r := newRelay(t, p.Listen)
				sound := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
				x := openExtension(t, echobun.Config{
					DatabaseURI: server.URLVia(r.addr()), EngineOptions: echobun.EngineOptions{MaxOpenConns: 8},
				})
				fillTable(t, sound)
				a := &askers{x: x, limit: 1500 * time.Millisecond}
				fill(t, x, 8)
				a.run(t, 8, 2) // All is well.
				require.Zero(t, a.failed.Load())

				f.begin(t, p, r)
				a.run(t, 8, pick(2, 6))
				if !f.slow {
					require.Positive(t, a.failed.Load(), "the fault was not felt")
				}
				p.Toxics.ResetToxics(t.Context())
				felt := a.failed.Load()
				time.Sleep(300 * time.Millisecond) // What was held back arrives.
				a.failed.Store(0)
				a.run(t, 8, 4)
				t.Logf("%d of %d calls failed; the longest took %v of %v; %d failed afterwards",
					felt, a.calls.Load(), time.Duration(a.longest.Load()).Round(time.Millisecond), a.limit, a.failed.Load())
				require.NoError(t, write(t.Context(), newWriter(x), 0, 0).err)
				requireLedger(t, a.writes, ids(t, sound, ""))
			})
		}
	}
}

// answerRows is how many rows an answer has that is read in many pieces.
const answerRows = 200

func fillTable(t *testing.T, x *echobun.Extension) {
	t.Helper()
	items := make([]Item, answerRows)
	for i := range items {
		items[i] = Item{ID: fmt.Sprintf("row-%03d", i), Text: strings.Repeat(strconv.Itoa(i%10), 100)}
	}
	_, err := x.Engine().NewInsert().Model(&items).Exec(t.Context())
	require.NoError(t, err)
}

// askers are clients that check what they are answered.
type askers struct {
	x     *echobun.Extension
	limit time.Duration

	calls, failed, longest, tokens atomic.Int64

	mu     sync.Mutex // Protects writes.
	writes []*call
}

// run has clients make calls in each way, some times over.
func (a *askers) run(t *testing.T, clients, times int) {
	t.Helper()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range times {
				for _, ask := range []func(context.Context, *echobun.Session) error{a.token, a.rows, a.write, a.tx} {
					a.ask(t, ask)
				}
			}
		})
	}
	all.Wait()
}

// ask makes one call, which must end in time and say where it failed.
func (a *askers) ask(t *testing.T, do func(context.Context, *echobun.Session) error) {
	ctx, end := a.x.AppContext(context.Background())
	defer end()
	s, err := a.x.Session(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	limited, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	start := time.Now()
	err = do(limited, s)
	took := time.Since(start)
	a.calls.Add(1)
	if took > a.limit+grace() {
		t.Errorf("it took %v: %v", took, err)
	}
	for old := a.longest.Load(); int64(took) > old && !a.longest.CompareAndSwap(old, int64(took)); old = a.longest.Load() {
	}
	if err == nil {
		return
	}
	a.failed.Add(1)
	if err == context.DeadlineExceeded || errors.Is(err, echobun.ErrTxDoomed) && errors.Is(err, context.DeadlineExceeded) { //nolint:errorlint // As it is.
		return // A deadline between two rows is database/sql's to tell, and a transaction's is over all binds.
	}
	if wrong := wrongRowError(""); errors.As(err, &wrong) || !strings.Contains(err.Error(), "default bind") {
		t.Errorf("%v", err)
	}
}

// wrongRowError is an answer to another question.
type wrongRowError string

func (w wrongRowError) Error() string { return "GRAVE: wrong answer: " + string(w) }

// token asks for something that nobody else asks for.
func (a *askers) token(ctx context.Context, s *echobun.Session) error {
	want := fmt.Sprint("token ", a.tokens.Add(1))
	var got string
	if err := s.NewRaw("SELECT ?", want).Scan(ctx, &got); err != nil {
		return err
	}
	if got != want {
		return wrongRowError(got + " to " + want)
	}
	return nil
}

// rows asks for many rows.
func (a *askers) rows(ctx context.Context, s *echobun.Session) error {
	var items []Item
	if err := s.NewSelect().Model(&items).Where("id LIKE 'row-%'").Order("id").Scan(ctx); err != nil {
		return err
	}
	if len(items) != answerRows {
		return wrongRowError(fmt.Sprint(len(items), " rows"))
	}
	for i, item := range items {
		if item.ID != fmt.Sprintf("row-%03d", i) || item.Text != strings.Repeat(strconv.Itoa(i%10), 100) {
			return wrongRowError(item.ID)
		}
	}
	return nil
}

func (a *askers) write(ctx context.Context, s *echobun.Session) error {
	c := a.newWrite()
	_, c.err = s.NewInsert().Model(&Item{ID: c.id}).Exec(ctx)
	return c.err
}

func (a *askers) tx(ctx context.Context, s *echobun.Session) error {
	c := a.newWrite()
	c.err = s.RunInTx(ctx, &echobun.TxOptions{CommitTimeout: 500 * time.Millisecond}, func(ctx context.Context, tx *echobun.Session) error {
		_, err := tx.NewInsert().Model(&Item{ID: c.id}).Exec(ctx)
		return err
	})
	return c.err
}

func (a *askers) newWrite() *call {
	c := &call{id: fmt.Sprint("write-", a.tokens.Add(1))}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writes = append(a.writes, c)
	return c
}
