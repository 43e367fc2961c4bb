package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// limit bounds one test, with its compilation.
const limit = 5 * time.Minute

// A result is what a run of go test said.
type result struct {
	ran, failed, skipped int    // Tests by name, without those around subtests.
	build                string // Why it did not compile.
	output               string // Its end.
}

// An event is one line of "go test -json".
type event struct {
	Action string
	Test   string
	Output string
}

// runTest runs the test of a patch in the patched tree.
func runTest(ctx context.Context, o *overlay, p *patch) (*result, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append([]string{"test", "-json", "-count=1", "-vet=off", "-ldflags=-s -w", "-timeout=1m", "-run=" + p.test}, p.flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = filepath.Join(o.root, p.dir)
	// A test that may not skip would fail for want of a server, and prove nothing.
	cmd.Env = append(o.env(), "CI=")
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("no result after %v", limit)
	}
	r := &result{}
	for line := range bytes.Lines(out) {
		var e event
		if json.Unmarshal(line, &e) == nil {
			r.add(e)
		}
	}
	if err != nil && r.ran == 0 && r.build == "" {
		r.build = strings.TrimSpace(err.Error() + "\n" + r.output + stderr.String())
	}
	return r, nil
}

func (r *result) add(e event) {
	switch e.Action {
	case "run":
		if e.Test != "" {
			r.ran++
		}
	case "fail":
		r.failed++ // Without a test's name it is the package: TestMain, or the time limit.
	case "skip":
		r.skipped++
	case "build-output":
		r.build += e.Output
	case "output":
		r.output = tail(r.output + e.Output)
	}
}

// tail is the end of s.
func tail(s string) string { return s[max(0, len(s)-2000):] }

// verdict is nil if the test noticed that the cure is gone.
func (r *result) verdict(p *patch) error {
	switch {
	case r.build != "":
		return fmt.Errorf("it does not compile: %s", strings.TrimSpace(r.build))
	case r.ran == 0:
		return fmt.Errorf("no test in %s matches %s", p.dir, p.test)
	case r.failed > 0:
		return nil
	case r.skipped > 0:
		return fmt.Errorf("%s was skipped: %s", p.test, strings.TrimSpace(r.output))
	}
	return errors.New(p.test + " passes all the same, without: " + p.cure)
}
