package report

import (
	"fmt"
	"strings"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
	"github.com/echobun/echobun/bench/work"
)

// The goals.
const (
	overhead   = 1.02 // Of Bun by hand with the same settings.
	aheadOfPgx = 1.3  // On PostgreSQL, of Bun by hand with pgx's defaults.
	perModel   = 20e3 // Nanoseconds to register a model.
)

// atMost says whether a ratio is within a limit, as far as the rounds show it.
func atMost(m measure.Median, limit float64) string {
	switch {
	case m.Value <= limit:
		return "yes"
	case m.Lo <= limit:
		return "not shown"
	default:
		return "**no**"
	}
}

// atLeast is the same the other way round.
func atLeast(m measure.Median, limit float64) string {
	switch {
	case m.Value >= limit:
		return "yes"
	case m.Hi >= limit:
		return "not shown"
	default:
		return "**no**"
	}
}

func (r *Results) goals(b *strings.Builder) {
	b.WriteString("## What was promised, and what came out\n\n")
	b.WriteString("\"Not shown\" is a median beyond the goal whose interval reaches into it.\n\n")
	r.overheadTable(b)
	r.gormTable(b)
	r.pgxTable(b)
	r.modelTable(b)
	b.WriteString(missed)
}

// missed says why goals are missed, as profiles show it. Whether they are, the
// tables say.
const missed = `### Why some are missed

- **GORM, sqlx and database/sql are ahead where a statement is prepared once.** They send one text with the values beside it.
  Bun writes the values into the text, so that PostgreSQL parses and plans each anew, and SQLite compiles it. That is Bun's
  way, by hand as much as through echobun: compare "Bun, our engine" and "database/sql" below. A profile of the point
  select on SQLite has a fifth of its time in sqlite3_prepare; on PostgreSQL it is the server's time.
- **An update on PostgreSQL is not faster than with pgx's defaults.** Pgx sends a statement that has neither arguments nor
  rows by the simple protocol in any mode, so there is nothing to save.
- **A model takes more than 20 µs to register.** Four fifths of a profile are Bun's: Register has it build each table
  twice, first in a scratch registry, so that a model that Bun refuses by a panic leaves nothing half registered. The
  rest is a name for each table, twice, and the garbage collector.
- **2 % is less than this machine can show in many rows.** A statement through echobun costs the middleware's half
  microsecond once, about 50 ns of routing, 100 ns for the pool's limit, 100 ns to see what it leaves in its session, and
  on PostgreSQL a look at the socket, a microsecond, if the connection was idle for one millisecond.

` + "`go test -run NONE -bench 'Register/models=1000$' -cpuprofile cpu.prof .`" + ` and the like make the profiles.

`

// compared are the kinds of work with a goal, and where they were done.
func (r *Results) compared() [][2]string {
	var all [][2]string
	for _, kind := range Statements {
		for _, on := range r.ons(kind) {
			all = append(all, [2]string{kind, on})
		}
	}
	for _, on := range r.ons(work.Page) {
		all = append(all, [2]string{work.Page, on})
	}
	return all
}

func (r *Results) overheadTable(b *strings.Builder) {
	for _, c := range []struct{ name, what string }{
		{peer.BunTuned, "the plain drivers with our settings: what our drivers and sessions add"},
		{peer.BunEngine, "our own engines without a session: what sessions add"},
	} {
		fmt.Fprintf(b, "**Within 2 %% of Bun by hand with the same settings, and no more allocations** (pages: with 64 clients). ")
		fmt.Fprintf(b, "Against %s. Processor time is that of this program alone, without the server, and does not count ", c.what)
		b.WriteString("what other programs took; of a page it includes the clients:\n\n")
		var t table
		t.head("work", "on", "time", "within 2 %", "processor time", "within 2 %", "allocations")
		for _, w := range r.compared() {
			g := r.group(w[0], w[1])
			q, ok := ratio(g, peer.Echobun, c.name)
			if !ok || w[0] == work.Page && !strings.HasSuffix(w[1], work.On("", 64)) {
				continue
			}
			cpu := cpuRatio(g, peer.Echobun, c.name)
			more := measure.MedianOf(series(g, peer.Echobun).Allocs).Value - measure.MedianOf(series(g, c.name).Allocs).Value
			t.row(w[0], w[1], percent(q), atMost(q, overhead), percent(cpu), atMost(cpu, overhead), fmt.Sprintf("%+.1f", more))
		}
		b.WriteString(t.String() + "\n")
	}
}

func (r *Results) gormTable(b *strings.Builder) {
	b.WriteString("**Ahead of GORM with dbresolver** (how many times our time it takes):\n\n")
	var t table
	t.head("work", "on", "GORM", "GORM, tuned", "ahead of both")
	for _, c := range r.compared() {
		g := r.group(c[0], c[1])
		plain, ok := ratio(g, peer.Gorm, peer.Echobun)
		tuned, ok2 := ratio(g, peer.GormTuned, peer.Echobun)
		if !ok || !ok2 {
			continue
		}
		least := plain
		if tuned.Value < plain.Value {
			least = tuned
		}
		t.row(c[0], c[1], times(plain), times(tuned), atLeast(least, 1))
	}
	b.WriteString(t.String() + "\n")
}

func (r *Results) pgxTable(b *strings.Builder) {
	fmt.Fprintf(b, "**On PostgreSQL ahead of Bun by hand with pgx's defaults by %.1f times:**\n\n", aheadOfPgx)
	var t table
	t.head("work", "Bun, defaults, × echobun", "met")
	for _, c := range r.compared() {
		if !strings.HasPrefix(c[1], string(data.PostgreSQL)) {
			continue
		}
		if q, ok := ratio(r.group(c[0], c[1]), peer.BunDefault, peer.Echobun); ok {
			name := c[0]
			if _, clients, ok := strings.Cut(c[1], ", "); ok {
				name += ", " + clients
			}
			t.row(name, times(q), atLeast(q, aheadOfPgx))
		}
	}
	b.WriteString(t.String() + "\n")
}

func (r *Results) modelTable(b *strings.Builder) {
	fmt.Fprintf(b, "**Registering is linear, and a model takes less than %s:**\n\n", duration(perModel))
	var t table
	t.head("application", "echobun, each model", "met", "by hand, each model")
	for _, on := range r.ons(work.StartUp) {
		if !strings.HasSuffix(on, work.Models(0)[1:]) {
			continue
		}
		g := r.group(work.StartUp, on)
		each := measure.MedianOf(series(g, peer.Echobun).Time)
		hand := measure.MedianOf(series(g, work.ByHand).Time)
		n := size(on)
		m := measure.Median{Value: each.Value / n, Lo: each.Lo / n, Hi: each.Hi / n}
		t.row(on, duration(m.Value)+" "+spread(each), atMost(m, perModel), duration(hand.Value/n))
	}
	b.WriteString(t.String() + "\n")
}
