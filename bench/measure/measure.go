// Package measure runs what is compared in turns, and keeps what each round
// has found.
package measure

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// A Plan says how long to measure.
type Plan struct {
	Rounds int           // Every round gives one figure for each case.
	Turns  int           // Turns that a case has in a round, so that a change in the machine's speed meets all.
	Turn   time.Duration // About how long one turn is. Zero means a single operation.
}

// Once is the plan that only shows that everything runs.
func Once() Plan { return Plan{Rounds: 1, Turns: 1} }

// A Case is one of the things that are compared.
type Case struct {
	Name string
	// Run does the operation n times.
	Run func(n int) error
	// Before is called before each turn, off the clock. Nil does nothing.
	Before func() error
	// Latencies returns how long each operation took since the last call. Nil
	// means that nobody looked.
	Latencies func() []time.Duration
}

// A Series is what was measured of one case: a value for each round.
type Series struct {
	Name   string
	Time   []float64 // Nanoseconds an operation.
	Allocs []float64 // An operation, of the whole process.
	Bytes  []float64
	P50    []float64 // Nanoseconds; empty without latencies.
	P99    []float64
}

// Compare runs the cases in turns. In each turn their order is drawn anew: in
// a fixed order the garbage collector keeps step with one of them.
func Compare(p Plan, cases []Case) ([]Series, error) {
	series := make([]Series, len(cases))
	n := make([]int, len(cases))
	for i, c := range cases {
		series[i].Name = c.Name
		var err error
		if n[i], err = calibrate(p, c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	for range p.Rounds {
		sums := make([]sum, len(cases))
		for range p.Turns {
			for _, i := range rand.Perm(len(cases)) {
				if err := sums[i].turn(cases[i], n[i]); err != nil {
					return nil, fmt.Errorf("%s: %w", cases[i].Name, err)
				}
			}
		}
		for i := range cases {
			series[i].add(sums[i])
		}
	}
	return series, nil
}

// calibrate returns how many operations a turn has. They warm the case up, too.
func calibrate(p Plan, c Case) (int, error) {
	if p.Turn == 0 {
		return 1, nil
	}
	for n := 1; ; n *= 2 {
		var s sum
		if err := s.turn(c, n); err != nil {
			return 0, err
		}
		if s.time >= p.Turn/2 {
			return max(1, int(float64(n)*float64(p.Turn)/float64(s.time))), nil
		}
	}
}

// A sum is what the turns of a case in a round come to.
type sum struct {
	ops           int
	time          time.Duration
	allocs, bytes uint64
	latencies     []time.Duration
}

func (s *sum) turn(c Case, n int) error {
	if c.Before != nil {
		if err := c.Before(); err != nil {
			return err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := c.Run(n)
	s.time += time.Since(start)
	runtime.ReadMemStats(&after)
	s.ops += n
	s.allocs += after.Mallocs - before.Mallocs
	s.bytes += after.TotalAlloc - before.TotalAlloc
	if c.Latencies != nil {
		s.latencies = append(s.latencies, c.Latencies()...)
	}
	return err
}

func (s *Series) add(t sum) {
	ops := float64(t.ops)
	s.Time = append(s.Time, float64(t.time.Nanoseconds())/ops)
	s.Allocs = append(s.Allocs, float64(t.allocs)/ops)
	s.Bytes = append(s.Bytes, float64(t.bytes)/ops)
	if len(t.latencies) > 0 {
		slices.Sort(t.latencies)
		s.P50 = append(s.P50, quantile(t.latencies, 0.50))
		s.P99 = append(s.P99, quantile(t.latencies, 0.99))
	}
}

// quantile returns the q-quantile of sorted values.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Nanoseconds())
}
