//go:build race

package pgx_test

// Under the race detector pools of values are emptied at random.
const raceAllocations = 1
