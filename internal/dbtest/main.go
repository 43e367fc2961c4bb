package dbtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Main is the body of a package's TestMain. It runs the tests, stops the
// shared servers, looks for goroutines that are left, but for those that
// ignore names, says what was skipped, and exits.
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	sharedPostgres.stop()
	sharedMariaDB.stop()
	removeTemplates()
	if code == 0 && !fuzzing() {
		if err := goleak.Find(ignore...); err != nil {
			fmt.Fprintf(os.Stderr, "dbtest: goroutines are left: %v\n", err)
			code = 1
		}
	}
	reportSkips()
	os.Exit(code)
}

// fuzzing reports whether this is a fuzzing run, whose own goroutines may
// still be there.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

var (
	skipMu sync.Mutex // guards skips
	skips  = map[string]int{}
)

// noteSkip remembers that a test was skipped, and why.
func noteSkip(what string) {
	skipMu.Lock()
	defer skipMu.Unlock()
	skips[what]++
}

// reportSkips says what was skipped: by itself, the test runner does not.
func reportSkips() {
	skipMu.Lock()
	defer skipMu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(skips)) {
		fmt.Fprintf(os.Stderr, "skipped %d tests: %s\n", skips[what], what)
	}
}
