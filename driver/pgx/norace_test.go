//go:build !race

package pgx_test

const raceAllocations = 0
