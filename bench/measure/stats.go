package measure

import (
	"slices"

	"golang.org/x/perf/benchmath"
)

// A Median is the median of some rounds, with the interval that it lies in
// with 95 % confidence, as benchstat computes it: without any assumption on
// how the values are distributed.
type Median struct{ Value, Lo, Hi float64 }

// MedianOf returns the median of values.
func MedianOf(values []float64) Median {
	if len(values) == 0 {
		return Median{}
	}
	values = slices.Clone(values) // A sample sorts its own, and these are in pairs.
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
	return Median{Value: s.Center, Lo: s.Lo, Hi: s.Hi}
}

// Ratio returns the median of the ratios of two series, round by round: what
// slows a round down slows both.
func Ratio(a, b []float64) Median {
	ratios := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		if b[i] != 0 { // Too little for a clock.
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return MedianOf(ratios)
}
