// Command uncured proves that tests can fail. Each patch in testdata/uncured
// takes one cure out of the code and names the test that has to notice:
//
//	Test: ./driver/pgx TestLostReply
//	Cure: a statement whose reply was lost is not sent a second time
//
// After "Test:" come a package's folder, the -run expression, and flags of
// go test if it needs any. The command runs that test with the patch in an
// overlay; the tree stays as it is. The test has to run and fail: if it
// passes, is skipped or does not compile, or if the patch does not apply any
// more, the command says so and exits with 1. Arguments are the names of the
// patches to try; none means all.
//
// With -share N it tries one in N, others for each commit, and looks at the
// rest only whether they apply.
//
// It has to run in the root of the repository.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// patches is where the patches are.
const patches = "testdata/uncured"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	share := flag.Uint("share", 1, "try one patch in `N`, others for each commit; the rest has to apply")
	flag.Parse()
	failed, err := run(ctx, ".", flag.Args(), oneIn(uint32(max(*share, 1)), commit(ctx)), os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "uncured:", err)
		os.Exit(1)
	case failed > 0:
		fmt.Fprintf(os.Stderr, "uncured: %d patches prove nothing\n", failed)
		os.Exit(1)
	}
}

// workers is how many patches are tried at the same time.
const workers = 2

// commit returns the name of the commit that is checked out, if there is one.
func commit(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	return string(out)
}

// oneIn picks one name in n, by chance that the seed decides.
func oneIn(n uint32, seed string) func(name string) bool {
	return func(name string) bool {
		h := fnv.New32a()
		_, _ = io.WriteString(h, seed+name)
		return h.Sum32()%n == 0
	}
}

// run tries the patches with the given names in the tree at root, if they are
// picked, writes a line for each, and returns how many of them prove nothing.
func run(ctx context.Context, root string, names []string, pick func(string) bool, out io.Writer) (failed int, err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return 0, err
	}
	found, err := find(filepath.Join(root, patches), names)
	if err != nil {
		return 0, err
	}
	todo, lines := make(chan string, len(found)), make(chan line)
	for _, name := range found {
		todo <- name
	}
	close(todo)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for name := range todo {
				lines <- work(ctx, root, name, pick(name))
			}
		})
	}
	go func() {
		running.Wait()
		close(lines)
	}()
	for l := range lines {
		if !l.ok {
			failed++
		}
		_, _ = fmt.Fprintln(out, l.text)
	}
	return failed, ctx.Err()
}

// A line is what is said about one patch.
type line struct {
	ok   bool
	text string
}

// work tries one patch, or only applies it.
func work(ctx context.Context, root, name string, picked bool) line {
	start := time.Now()
	what, err := try(ctx, root, filepath.Join(root, patches, name+".patch"), picked)
	word := "ok  "
	if err != nil {
		word, what = "FAIL", strings.ReplaceAll(err.Error(), "\n", "\n     ")
	}
	return line{err == nil, fmt.Sprintf("%s %-30s %5.1fs  %s", word, name, time.Since(start).Seconds(), what)}
}

// find returns the names of all patches in dir, or checks the given ones.
func find(dir string, names []string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".patch"))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no patches in %s", dir)
	}
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("no patch %q in %s", name, dir)
		}
	}
	return names, nil
}

// try runs the test of a patch without its cure, if it is picked, and says what
// that proved.
func try(ctx context.Context, root, file string, picked bool) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	p, err := readPatch(file)
	if err != nil {
		return "", err
	}
	o, err := newOverlay(ctx, root, file, p)
	if err != nil {
		return "", err
	}
	defer o.remove()
	if !picked {
		return "it applies: " + p.cure, nil
	}
	result, err := runTest(ctx, o, p)
	if err != nil {
		return "", err
	}
	if err := result.verdict(p); err != nil {
		return "", err
	}
	return p.test + " fails without it: " + p.cure, nil
}
