package survive_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// outages are how a bind is lost.
var outages = map[string]func(t *testing.T, p *toxiproxy.Proxy){
	"down": func(_ *testing.T, p *toxiproxy.Proxy) { p.Stop() },
	"black hole": func(t *testing.T, p *toxiproxy.Proxy) {
		t.Helper()
		poison(t, p, "timeout", `{"timeout": 0}`, "upstream", "downstream")
	},
}

// TestOutage loses one bind. Who does not touch it does not feel it; who does
// is told so in time.
func TestOutage(t *testing.T) { //nolint:paralleltest // It measures times.
	for _, k := range kinds { //nolint:paralleltest // As above.
		for name, outage := range outages {
			t.Run(k.name+" "+name, func(t *testing.T) {
				noLeaks(t)
				other := kinds[0]
				if k.name == other.name {
					other = kinds[1]
				}
				server := k.fresh(t)
				p := newToxic(t, server.Addr())
				x := newExtension(t, echobun.Config{
					DatabaseURI: other.fresh(t).URL(),
					Binds:       echobun.Binds{"auth": {URL: server.URLVia(p.Listen)}},
				})
				e := newReader(x)
				b := burst{e, 300 * time.Millisecond, 8} // Fewer than the pool has connections.
				g, window := gauge{e, "/default"}, pick(200*time.Millisecond, 2*time.Second)
				g.measure(t, window, 0.99) // Warm.
				var before, during time.Duration
				well := b.during(t, func() { before = g.measure(t, window, 0.99) })
				time.Sleep(1200 * time.Millisecond) // What was idle for long is asked whether it lives, before it is used.
				outage(t, p)
				time.Sleep(50 * time.Millisecond) // What was under way is over.
				lost := b.during(t, func() {
					require.Equal(t, "down", x.Health(t.Context()).Binds["auth"].Status) // It takes 1.5 s at most.
					during = g.measure(t, window, 0.99)
				})

				require.NotEmpty(t, well)
				latest := requireLost(t, lost, b.limit)
				t.Logf("%d calls failed (%s), at most %v after their deadline; the other bind's p99 was %v before, %v meanwhile",
					len(lost), kindsOf(lost), latest, before, during)
				require.Less(t, during, pick(4*before+50*time.Millisecond, before*12/10))

				if name == "down" {
					require.NoError(t, p.Start())
				} else {
					p.Toxics.ResetToxics(t.Context())
				}
				require.Eventually(t, func() bool {
					return send(t.Context(), e, http.MethodGet, "/auth", loadLimit).err == nil
				}, 5*time.Second, 10*time.Millisecond, "it has to come back by itself")
			})
		}
	}
}

// requireLost requires that all calls fail for the right reason, and returns
// how long after its deadline the latest ended.
func requireLost(t *testing.T, calls []*call, limit time.Duration) (latest time.Duration) {
	t.Helper()
	for _, c := range calls {
		require.Error(t, c.err)
		requireNamed(t, c.err, "auth")
		require.ErrorIs(t, c.err, echobun.ErrUnavailable, "%v", c.err)
		latest = max(latest, c.took()-limit)
	}
	require.Less(t, latest, grace())
	return latest
}

// name is the id of an item that no other call writes.
func name(client, n int) string { return fmt.Sprint(client, "-", n) }
