package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
	"github.com/echobun/echobun/bench/work"
)

// Statements are the kinds of work that are single statements.
var Statements = []string{work.Point, work.List, work.Insert, work.Update, work.HasMany}

// Kinds are the databases of one kind each.
var Kinds = []string{string(data.SQLite), string(data.PostgreSQL), string(data.MariaDB)}

const intro = `# Benchmark results

This file is written by ` + "`make bench`" + `: run it, and it has the figures of your machine.

Everything that is compared runs in one process, on the same tables and rows, with the same pool size (%d), in short turns
whose order is drawn anew each time. Fifteen to twenty-five turns are a round, of which the median counts; there are ten
to twenty rounds, with new connections after every few. What stands here is the median of the rounds. A ratio is computed
in each round and its median taken, so that what slows the machine down slows both; in brackets, and after ±, is the
interval that the median lies in with 95 %% confidence, as benchstat computes it. Servers, clients and the program share
the machine. The servers write without fsync, and so does SQLite with our settings, which are what SQLite's own
documentation advises with WAL: a write is measured, not a disk.

`

func (r *Results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, intro, data.PoolSize)
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n| date | %s |\n| machine | %s |\n| versions | %s |\n\n",
		r.Date, r.Machine, strings.Join(r.Versions, ", "))
	b.WriteString("## What is compared\n\n| peer | what it is |\n| --- | --- |\n")
	for _, p := range peer.All() {
		note := p.Note
		if p.OneDialect {
			note += "; it cannot mix kinds of databases"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", p.Name, note)
	}
	b.WriteString("\nAll SQLite peers use modernc.org/sqlite, all PostgreSQL peers pgx. ")
	b.WriteString("The sources say which page of each peer's documentation they follow: [peer](peer).\n\n")
	r.plots(&b)
	r.goals(&b)
	r.details(&b)
	return b.String()
}

func (r *Results) plots(b *strings.Builder) {
	b.WriteString("## At a glance\n\n")
	for _, kind := range Kinds {
		fmt.Fprintf(b, "![Time of each peer on %s, relative to echobun](%s/%s)\n\n", kind, Plots, relativeFile(kind))
	}
	b.WriteString("## Does it get slower as the application grows?\n\n")
	fmt.Fprintf(b, "![Time to begin a query against the number of binds, models and goroutines](%s/%s)\n\n", Plots, routingFile)
	fmt.Fprintf(b, "![Time of a request against the number of binds, models and goroutines](%s/%s)\n\n", Plots, requestFile)
	fmt.Fprintf(b, "![Time to start against the number of models and binds](%s/%s)\n\n", Plots, startFile)
	b.WriteString("A line and the dashed one of its colour are the same work through echobun and by hand. ")
	b.WriteString("Where both bend, it is not echobun: with many models more of Bun's tables are out of the processor's cache, ")
	b.WriteString("and one goroutine has one core.\n\n")
	r.growthTable(b)
}

func (r *Results) growthTable(b *strings.Builder) {
	var t table
	t.head("what", "against", "smallest: by hand", "echobun", "largest: by hand", "echobun")
	for _, g := range r.Growth {
		last := len(g.X) - 1
		cell := func(s measure.Series) string {
			return duration(measure.MedianOf(s.Time).Value)
		}
		t.row(g.What, fmt.Sprintf("%.0f to %.0f %s", g.X[0], g.X[last], g.By),
			cell(g.Hand[0]), cell(g.Ours[0]), cell(g.Hand[last]), cell(g.Ours[last]))
	}
	b.WriteString(t.String() + "\n")
}

// details are all tables.
func (r *Results) details(b *strings.Builder) {
	b.WriteString("## All figures\n\n`× echobun` is how many times the time of echobun a peer takes: above 1 it is slower. " +
		"`processor` is the processor time of this program, without the server.\n\n")
	kinds := []string{work.Routing, work.Middleware}
	kinds = append(kinds, Statements...)
	kinds = append(kinds, work.Page, work.Both, work.Atomic, work.CreateAll, work.StartUp)
	for i, kind := range kinds {
		fmt.Fprintf(b, "### %d. %s\n\n%s", i+1, kind, about[kind])
		if kind == work.StartUp {
			r.startTable(b)
			continue
		}
		for _, on := range r.ons(kind) {
			fmt.Fprintf(b, "%s:\n\n%s\n", on, groupTable(r.group(kind, on)))
		}
	}
}

var about = map[string]string{
	work.Routing: "To find the database of a model and to begin a query there. GORM is told the name of the resolver; " +
		"where it finds it by the model, it does so when the query runs.\n\n",
	work.Middleware: "A request whose handler does nothing, without a connection. " +
		"By hand nothing stands in between; GORM has the middleware that its documentation shows.\n\n",
	work.List:    "A hundred posts with a text of 200 letters, from a key on.\n\n",
	work.Insert:  "One row; its new key is read back.\n\n",
	work.Update:  "One column of a row, by its key.\n\n",
	work.HasMany: "Ten posts with ten comments each: two queries.\n\n",
	work.Page: "A user, ten posts and ten events from three databases, as JSON. The clients are in the same process and " +
		"wait for an answer before they ask again, so the time of a page is that of the server and the client together, " +
		"and with more clients than pool connections they wait in line.\n\n",
	work.Both:   "An insert on each of two databases, both committed.\n\n",
	work.Atomic: "The same as a request, without a connection: begun and committed by the middleware, or by hand in the handler.\n\n",
	work.CreateAll: "echobun locks out other processes that do the same, looks what is there, and makes the tables in a transaction " +
		"where the database has such. By hand it is CREATE TABLE IF NOT EXISTS.\n\n",
	work.StartUp: "`New`, `Register` and `Close`; by hand `sql.Open`, `bun.NewDB`, `RegisterModel` and `Close`. A model has six columns.\n\n",
}

// groupTable is the table of one group.
func groupTable(g *work.Group) string {
	var t table
	latency := slices.ContainsFunc(g.Series, func(s measure.Series) bool { return len(s.P50) > 0 })
	head := []string{"peer", "time", "", "× echobun", "processor", "allocations", "bytes"}
	if latency {
		head = append(head, "p50", "p99")
	}
	t.head(head...)
	for _, s := range g.Series {
		m := measure.MedianOf(s.Time)
		relative := ""
		if q, ok := ratio(g, s.Name, peer.Echobun); ok && s.Name != peer.Echobun {
			relative = times(q)
		}
		cells := []string{
			s.Name, duration(m.Value), spread(m), relative, duration(measure.MedianOf(s.CPU).Value),
			fmt.Sprintf("%.1f", measure.MedianOf(s.Allocs).Value), fmt.Sprintf("%.0f", measure.MedianOf(s.Bytes).Value),
		}
		if latency {
			cells = append(cells, duration(measure.MedianOf(s.P50).Value), duration(measure.MedianOf(s.P99).Value))
		}
		t.row(cells...)
	}
	return t.String()
}

func (r *Results) startTable(b *strings.Builder) {
	var t table
	t.head("application", "echobun", "", "by hand", "× by hand", "echobun, each")
	for _, on := range r.ons(work.StartUp) {
		g := r.group(work.StartUp, on)
		ours, hand := series(g, peer.Echobun), series(g, work.ByHand)
		m := measure.MedianOf(ours.Time)
		q, _ := ratio(g, peer.Echobun, work.ByHand)
		t.row(on, duration(m.Value), spread(m), duration(measure.MedianOf(hand.Time).Value), times(q), duration(m.Value/size(on)))
	}
	b.WriteString(t.String() + "\n")
}

// Tables returns the tables of all groups that were not left out.
func (r *Results) Tables() string {
	var b strings.Builder
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Series != nil {
			fmt.Fprintf(&b, "%s, %s:\n\n%s\n", g.Work, g.On, groupTable(g))
		}
	}
	for _, g := range r.Growth {
		fmt.Fprintf(&b, "%s by %s:\n", g.What, g.By)
		for i, x := range g.X {
			fmt.Fprintf(&b, "%6.0f: %s, by hand %s\n", x,
				duration(measure.MedianOf(g.Ours[i].Time).Value), duration(measure.MedianOf(g.Hand[i].Time).Value))
		}
	}
	return b.String()
}

// size reads the number that a group of start-ups begins with.
func size(on string) float64 {
	n := 1.0
	_, _ = fmt.Sscan(on, &n) // It is work.Binds or work.Models.
	return n
}
