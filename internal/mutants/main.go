// Command mutants asks how much the tests notice: it makes small changes in
// the library's code, one at a time, and runs the tests over each. What no test
// notices, a survivor, is a promise without a test, or code that does
// nothing. It is mutation testing (DeMillo, Lipton and Sayward, 1978) by sample:
// all the changes that are possible here would take days.
//
//	go run ./internal/mutants -n 60 -seed 7
//
// A mutant has one condition changed, one statement dropped or one constant
// changed; a third of the sample each. The same seed draws the same
// mutants from the same code. The tree stays as it is: the go command is given
// the changed file as an overlay.
//
// A mutant is noticed by a test that fails with it, twice, and passes without
// it. Tests of the mutant's package are run first: those in files of its file's
// name, those without servers, then all; for a package below the root, those of
// the root package after them.
// With -quick the root package's tests with servers are left out, but for the
// first of these: what survives then is worth a run without it.
// Survivors are no failure of the command: the report names them, and a
// person decides for each whether it is equivalent or wants a test.
//
// It has to run in the root of the repository. Arguments are the packages to
// draw from; none means all that users' programs are compiled from.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// ofLibrary are the packages whose mutants are drawn if none are named.
var ofLibrary = []string{
	".", "./driver", "./driver/pgx", "./driver/mysql", "./driver/sqlite",
	"./internal/wire", "./internal/sqltext", "./internal/sqlwords",
	"./internal/writes", "./internal/reads", "./internal/fields", "./internal/confread", "./internal/response",
	"./internal/rowlock", "./internal/literal", "./internal/urlhints",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n := flag.Int("n", 60, "how many mutants")
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "which ones")
	quick := flag.Bool("quick", false, "leave out the root package's tests with servers, but for those of the file")
	flag.Parse()
	if err := run(ctx, ".", flag.Args(), options{*n, *seed, *quick}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// options are how many mutants are tried, which, and by how many tests.
type options struct {
	n     int
	seed  uint64
	quick bool
}

// run tries mutants of the packages and writes a line for each.
func run(ctx context.Context, root string, packages []string, o options, out io.Writer) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		packages = ofLibrary
	}
	sites, err := findSites(ctx, root, packages)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d mutants of %d that are possible, seed %d\n", o.n, len(sites), o.seed)
	bench, err := newBench(root, o.quick)
	if err != nil {
		return err
	}
	defer bench.remove()
	r := &report{out: out, want: o.n}
	for _, s := range draw(sites, o.seed) {
		if r.done() {
			break
		}
		v, err := bench.try(ctx, s)
		if err != nil {
			return err
		}
		r.add(s, v)
	}
	r.sum()
	return ctx.Err()
}

// draw puts the sites into an order that the seed decides, one of each kind by
// turns.
func draw(sites []site, seed uint64) []site {
	byKind := map[kind][]site{}
	for _, s := range sites {
		byKind[s.kind] = append(byKind[s.kind], s)
	}
	chance := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // The same seed has to draw the same.
	for _, k := range kinds {
		chance.Shuffle(len(byKind[k]), func(i, j int) {
			byKind[k][i], byKind[k][j] = byKind[k][j], byKind[k][i]
		})
	}
	var drawn []site
	for len(drawn) < len(sites) {
		for _, k := range kinds {
			if left := byKind[k]; len(left) > 0 {
				drawn, byKind[k] = append(drawn, left[0]), left[1:]
			}
		}
	}
	return drawn
}
