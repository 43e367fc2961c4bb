package report_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
	"github.com/echobun/echobun/bench/report"
	"github.com/echobun/echobun/bench/work"
)

// rounds are six rounds about a value.
func rounds(name string, ns float64) measure.Series {
	s := measure.Series{Name: name}
	for _, f := range []float64{0.99, 1.01, 1, 1, 0.995, 1.005} {
		s.Time, s.CPU = append(s.Time, ns*f), append(s.CPU, ns*f/2)
		s.Allocs, s.Bytes = append(s.Allocs, ns/1e3), append(s.Bytes, ns)
	}
	return s
}

func TestGoals(t *testing.T) {
	t.Parallel()
	r := &report.Results{Date: "2026-01-02", Machine: "a machine", Versions: []string{"Go 1"}}
	for _, on := range []string{"SQLite", "PostgreSQL"} {
		tuned := map[string]float64{"SQLite": 99e3, "PostgreSQL": 50e3}[on]
		r.Groups = append(r.Groups, work.Group{Work: work.Point, On: on, Series: []measure.Series{
			rounds(peer.Echobun, 100e3), rounds(peer.BunTuned, tuned), rounds(peer.BunEngine, 100e3),
			rounds(peer.BunDefault, 150e3), rounds(peer.Gorm, 200e3), rounds(peer.GormTuned, 90e3),
		}})
	}
	for _, n := range work.StartModels {
		r.Groups = append(r.Groups, work.Group{Work: work.StartUp, On: work.Models(n), Series: []measure.Series{
			rounds(peer.Echobun, float64(n)*10e3), rounds(work.ByHand, float64(n)*5e3),
		}})
	}
	for _, what := range []string{work.GrowRouting, work.GrowRequest} {
		r.Growth = append(r.Growth, work.Growth{
			What: what, By: work.ByBinds, X: []float64{1, 1000},
			Ours: []measure.Series{rounds("", 300), rounds("", 330)}, Hand: []measure.Series{rounds("", 290), rounds("", 310)},
		})
	}
	dir := t.TempDir()
	require.NoError(t, r.Write(dir))
	content, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	require.NoError(t, err)
	text := string(content)
	for _, line := range []string{
		"| date | 2026-01-02 |",
		"| Point select | SQLite | +1.0 % (+1.0 to +1.0) | yes | +1.0 % (+1.0 to +1.0) | yes | +1.0 |",
		"| Point select | PostgreSQL | +100.0 % (+100.0 to +100.0) | **no** | +100.0 % (+100.0 to +100.0) | **no** | +50.0 |",
		"| Point select | PostgreSQL | +0.0 % (+0.0 to +0.0) | yes | +0.0 % (+0.0 to +0.0) | yes | +0.0 |",
		"| Point select | SQLite | 2.00 (2.00 to 2.00) | 0.90 (0.90 to 0.90) | **no** |",
		"| Point select | 1.50 (1.50 to 1.50) | yes |",
		"| 10000 models | 10.0 µs ± 1 % | yes | 5.00 µs |",
		"| Routing | 1 to 1000 binds | 290 ns | 300 ns | 310 ns | 330 ns |",
		"| GORM, tuned | 90.0 µs | ± 1 % | 0.90 (0.90 to 0.90) | 45.0 µs | 90.0 | 90000 |",
	} {
		require.Contains(t, text, line)
	}
	plot, err := os.ReadFile(filepath.Join(dir, report.Plots, "relative-postgresql.svg"))
	require.NoError(t, err)
	require.Contains(t, string(plot), "point select")
}
