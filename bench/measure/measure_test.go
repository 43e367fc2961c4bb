package measure_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/bench/measure"
)

func TestCompareTakesTurns(t *testing.T) {
	t.Parallel()
	var log []string
	ops := map[string]int{}
	c := func(name string) measure.Case {
		return measure.Case{Name: name, Run: func(n int) error {
			log = append(log, name)
			ops[name] += n
			return nil
		}}
	}
	series, err := measure.Compare(measure.Plan{Rounds: 6, Turns: 3}, []measure.Case{c("a"), c("b")})
	require.NoError(t, err)
	require.Len(t, log, 2*6*4, "each round has a turn more, that counts allocations")
	for i := 0; i < len(log); i += 2 {
		require.NotEqual(t, log[i], log[i+1], "nobody has two turns before the other has one")
	}
	require.Equal(t, ops["a"], ops["b"])
	require.Equal(t, "a", series[0].Name)
	require.Len(t, series[0].Time, 6)
	require.Len(t, series[1].Allocs, 6)
	require.Empty(t, series[0].P50)
}

var sink []byte

func TestCompareMeasures(t *testing.T) {
	t.Parallel()
	series, err := measure.Compare(measure.Plan{Rounds: 3, Turns: 5, Turn: 4 * time.Millisecond}, []measure.Case{
		{Name: "slow", Run: sleep(2 * time.Millisecond)},
		{Name: "fast", Run: sleep(200 * time.Microsecond), Latencies: func() []time.Duration {
			return []time.Duration{time.Millisecond, 2 * time.Millisecond, 9 * time.Millisecond}
		}},
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, measure.MedianOf(series[0].Time).Value, 2e6)
	require.Greater(t, measure.Ratio(series[0].Time, series[1].Time).Value, 1.5)
	require.GreaterOrEqual(t, measure.MedianOf(series[0].Bytes).Value, 4096.0)
	require.InDelta(t, 2e6, measure.MedianOf(series[1].P50).Value, 1)
	require.InDelta(t, 9e6, measure.MedianOf(series[1].P99).Value, 1)
}

func sleep(d time.Duration) func(int) error {
	return func(n int) error {
		for range n {
			sink = make([]byte, 4096)
			time.Sleep(d)
		}
		return nil
	}
}

func TestCompareFails(t *testing.T) {
	t.Parallel()
	failed := errors.New("no such table")
	for _, p := range []measure.Plan{measure.Once(), {Rounds: 1, Turns: 1, Turn: time.Millisecond}} {
		_, err := measure.Compare(p, []measure.Case{{Name: "peer", Run: func(int) error { return failed }}})
		require.ErrorIs(t, err, failed)
		require.ErrorContains(t, err, "peer")
	}
}

// A median must not change the order of what it is the median of: the values
// of two series belong together.
func TestRatioKeepsPairs(t *testing.T) {
	t.Parallel()
	a, b := []float64{30, 10, 20, 60, 50, 40}, []float64{3, 1, 2, 6, 5, 4}
	require.InDelta(t, 35, measure.MedianOf(a).Value, 1e-9)
	m := measure.Ratio(a, b)
	require.Equal(t, measure.Median{Value: 10, Lo: 10, Hi: 10}, m)
	require.Equal(t, []float64{30, 10, 20, 60, 50, 40}, a)
	require.Zero(t, measure.MedianOf(nil))
}
