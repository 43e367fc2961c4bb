package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A bench compiles the tests of packages, with and without a mutant, and runs
// them. It keeps what it has compiled without one.
type bench struct {
	root  string
	quick bool
	dir   string            // Of everything that is made here.
	whole map[string]string // The test program of a package as it is, by package.
}

func newBench(root string, quick bool) (*bench, error) {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	return &bench{root: root, quick: quick, dir: dir, whole: map[string]string{}}, nil
}

func (b *bench) remove() { _ = os.RemoveAll(b.dir) }

// A verdict is what the tests said of a mutant.
type verdict struct {
	compiles bool
	by       string // The test that noticed it, or "".
	unsure   []string
}

// try runs the tests over one mutant until one notices it.
func (b *bench) try(ctx context.Context, s site) (verdict, error) {
	overlay, err := b.mutate(s)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{}
	for _, pkg := range testers(s.pkg) {
		program := filepath.Join(b.dir, "mutant.test")
		if err := b.compile(ctx, pkg, program, "-overlay="+overlay); err != nil {
			return v, ctx.Err() // Not every change compiles; those are not counted.
		}
		v.compiles = true
		if err := b.ask(ctx, &v, pkg, program, s.file); err != nil || v.by != "" {
			return v, err
		}
	}
	return v, nil
}

// ask runs the tests of one program: those that are about the file, those that
// need no server, then all.
func (b *bench) ask(ctx context.Context, v *verdict, pkg, program, file string) error {
	first, err := near(filepath.Join(b.root, pkg), file)
	if err != nil {
		return err
	}
	if len(first) > 0 {
		if err := b.judge(ctx, v, pkg, testRun{program: program, only: first}); err != nil || v.by != "" {
			return err
		}
	}
	for _, short := range []bool{true, false} {
		if b.quick && !short && pkg == "." {
			break
		}
		if err := b.judge(ctx, v, pkg, testRun{program: program, short: short}); err != nil || v.by != "" {
			return err
		}
	}
	return nil
}

// testers are the packages whose tests should notice a mutant of pkg, in the
// order in which they are asked.
func testers(pkg string) []string {
	if pkg == "." {
		return []string{"."}
	}
	return []string{pkg, "."}
}

// mutate writes the changed file and the overlay that leads to it.
func (b *bench) mutate(s site) (overlay string, err error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	changed := slices.Concat(text[:s.start], []byte(s.to), text[s.end:])
	file := filepath.Join(b.dir, "mutant.go")
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{s.file: file}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(b.dir, "overlay.json")
	return overlay, os.WriteFile(overlay, replace, 0o600)
}

// compile makes the test program of a package.
func (b *bench) compile(ctx context.Context, pkg, program string, flags ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", program}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...) //nolint:gosec // The arguments are made here.
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the tests of %s: %w: %s", pkg, err, out)
	}
	return nil
}

// judge runs tests of a program. The first that fails has noticed the mutant, if
// it fails again when it is alone, and does not without the mutant.
func (b *bench) judge(ctx context.Context, v *verdict, pkg string, t testRun) error {
	t.dir, t.skip = filepath.Join(b.root, pkg), v.unsure
	failed, err := t.firstFailure(ctx)
	if err != nil || failed == "" {
		return err
	}
	if failed == noTest { // The whole program: it panicked, or did not end.
		v.by = failed
		return nil
	}
	alone := t
	alone.only = []string{failed}
	again, err := alone.firstFailure(ctx)
	if err != nil {
		return err
	}
	right, err := b.passesAsItIs(ctx, pkg, failed, t.short)
	if err != nil {
		return err
	}
	if again == "" || !right {
		v.unsure = append(v.unsure, failed)
		return b.judge(ctx, v, pkg, t)
	}
	v.by = failed
	return nil
}

// passesAsItIs reports whether a test passes without a mutant.
func (b *bench) passesAsItIs(ctx context.Context, pkg, test string, short bool) (bool, error) {
	program, ok := b.whole[pkg]
	if !ok {
		program = filepath.Join(b.dir, fmt.Sprintf("whole-%d.test", len(b.whole)))
		if err := b.compile(ctx, pkg, program); err != nil {
			return false, err
		}
		b.whole[pkg] = program
	}
	t := &testRun{program: program, dir: filepath.Join(b.root, pkg), short: short, only: []string{test}}
	failed, err := t.firstFailure(ctx)
	return failed == "", err
}
