// Package measure runs what is compared in turns, and keeps what each round
// has found.
package measure

import (
	"fmt"
	"math"
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
	CPU    []float64 // Nanoseconds of processor time of the whole process, an operation.
	Allocs []float64 // An operation, of the whole process.
	Bytes  []float64
	P50    []float64 // Nanoseconds; empty without latencies.
	P99    []float64
}

// Append appends the rounds of another series of the same case.
func (s *Series) Append(t Series) {
	s.Time, s.CPU = append(s.Time, t.Time...), append(s.CPU, t.CPU...)
	s.Allocs, s.Bytes = append(s.Allocs, t.Allocs...), append(s.Bytes, t.Bytes...)
	s.P50, s.P99 = append(s.P50, t.P50...), append(s.P99, t.P99...)
}

// Compare runs the cases in turns. In each turn their order is drawn anew: in
// a fixed order the garbage collector keeps step with one of them. The time of
// a round is the median of its turns, so that a turn in which the machine was
// busy elsewhere does not count; allocations are counted in a turn of their own.
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
		rounds := make([]round, len(cases))
		for turn := range p.Turns + 1 {
			for _, i := range rand.Perm(len(cases)) {
				run := rounds[i].turn
				if turn == 0 {
					run = rounds[i].count
				}
				if err := run(cases[i], n[i]); err != nil {
					return nil, fmt.Errorf("%s: %w", cases[i].Name, err)
				}
			}
		}
		for i := range cases {
			series[i].add(&rounds[i])
		}
	}
	return series, nil
}

// calibrate returns how many operations a turn has. They warm the case up,
// too. Of several tries the fastest counts: another program can only make one slow.
func calibrate(p Plan, c Case) (int, error) {
	if p.Turn == 0 {
		return 1, nil
	}
	n := 1
	for {
		best := time.Duration(math.MaxInt64)
		for range 3 {
			var r round
			if err := r.turn(c, n); err != nil {
				return 0, err
			}
			best = min(best, time.Duration(r.times[0]*float64(n)))
		}
		if best >= p.Turn/2 {
			return max(1, int(float64(n)*float64(p.Turn)/float64(best))), nil
		}
		n *= 2
	}
}

// A round is what the turns of a case in a round have found.
type round struct {
	times, cpu    []float64 // Nanoseconds an operation, for each turn.
	allocs, bytes float64   // An operation.
	latencies     []time.Duration
}

// turn is on the clock.
func (r *round) turn(c Case, n int) error {
	if err := c.before(); err != nil {
		return err
	}
	start, cpu := time.Now(), processorTime()
	err := c.Run(n)
	r.times = append(r.times, float64(time.Since(start).Nanoseconds())/float64(n))
	r.cpu = append(r.cpu, float64((processorTime()-cpu).Nanoseconds())/float64(n))
	if c.Latencies != nil {
		r.latencies = append(r.latencies, c.Latencies()...)
	}
	return err
}

// count counts allocations. To ask for them stops the program.
func (r *round) count(c Case, n int) error {
	if err := c.before(); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.Run(n)
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	r.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	if c.Latencies != nil {
		c.Latencies()
	}
	return err
}

func (c *Case) before() error {
	if c.Before == nil {
		return nil
	}
	return c.Before()
}

func (s *Series) add(r *round) {
	s.Time, s.CPU = append(s.Time, middle(r.times)), append(s.CPU, middle(r.cpu))
	s.Allocs = append(s.Allocs, r.allocs)
	s.Bytes = append(s.Bytes, r.bytes)
	if len(r.latencies) > 0 {
		slices.Sort(r.latencies)
		s.P50 = append(s.P50, quantile(r.latencies, 0.50))
		s.P99 = append(s.P99, quantile(r.latencies, 0.99))
	}
}

// middle returns the median.
func middle(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// quantile returns the q-quantile of sorted values.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Nanoseconds())
}
