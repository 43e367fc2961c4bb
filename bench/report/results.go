// Package report writes what was measured as tables and plots.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/work"
)

// Results are what was measured, and on what.
type Results struct {
	Date    string
	Machine string
	// Versions are of Go, the servers, and the modules that are compared.
	Versions []string
	Groups   []work.Group
	Growth   []work.Growth
}

// Plots is the folder of the plots, beside RESULTS.md.
const Plots = "results"

// Write writes RESULTS.md and the plots into a folder.
func (r *Results) Write(dir string) error {
	plots := filepath.Join(dir, Plots)
	if err := os.MkdirAll(plots, 0o755); err != nil { //nolint:gosec // They are for everybody to read.
		return err
	}
	if err := r.plot(plots); err != nil {
		return fmt.Errorf("draw the plots: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(r.markdown()), 0o644) //nolint:gosec // As above.
}

// group returns a group, or nil.
func (r *Results) group(kind, on string) *work.Group {
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Work == kind && g.On == on {
			return g
		}
	}
	return nil
}

// ons returns where a kind of work was done, in order.
func (r *Results) ons(kind string) []string {
	var ons []string
	for _, g := range r.Groups {
		if g.Work == kind {
			ons = append(ons, g.On)
		}
	}
	return ons
}

// series returns what was measured of one peer, or nil.
func series(g *work.Group, name string) *measure.Series {
	if g == nil {
		return nil
	}
	for i := range g.Series {
		if g.Series[i].Name == name {
			return &g.Series[i]
		}
	}
	return nil
}

// ratio returns how many times the time of b a takes.
func ratio(g *work.Group, a, b string) (measure.Median, bool) {
	x, y := series(g, a), series(g, b)
	if x == nil || y == nil {
		return measure.Median{}, false
	}
	return measure.Ratio(x.Time, y.Time), true
}

// cpuRatio is ratio for the processor time of this process.
func cpuRatio(g *work.Group, a, b string) measure.Median {
	x, y := series(g, a), series(g, b)
	if x == nil || y == nil {
		return measure.Median{}
	}
	return measure.Ratio(x.CPU, y.CPU)
}

// duration prints nanoseconds.
func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e4:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	case ns < 1e6:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	default:
		return fmt.Sprintf("%.2f s", ns/1e9)
	}
}

// spread prints half the width of the interval, in per cent of the median.
func spread(m measure.Median) string {
	if m.Value == 0 {
		return ""
	}
	return fmt.Sprintf("± %.0f %%", 100*max(m.Hi-m.Value, m.Value-m.Lo)/m.Value)
}

// times prints a ratio with its interval.
func times(m measure.Median) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", m.Value, m.Lo, m.Hi)
}

// percent prints by how much a ratio is over one, with its interval.
func percent(m measure.Median) string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(m.Value-1), 100*(m.Lo-1), 100*(m.Hi-1))
}

// A table is built row by row.
type table struct{ strings.Builder }

func (t *table) row(cells ...string) {
	t.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// head writes the first row. Columns after the first are numbers.
func (t *table) head(cells ...string) {
	t.row(cells...)
	t.row(append([]string{"---"}, strings.Split(strings.Repeat("---: ", len(cells)-1), " ")[:len(cells)-1]...)...)
}
