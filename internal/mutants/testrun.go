package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// limit bounds one run of a test program: a mutant may wait for ever.
const limit = 10 * time.Minute

// noTest stands for a failure of no test: a panic, a data race at the end, a
// run that does not end.
const noTest = "the test program itself"

// A testRun is one run of a package's compiled tests.
type testRun struct {
	program, dir string
	short        bool     // Without what needs a server.
	only         []string // These tests; nil is all.
	skip         []string // Tests that say nothing about this mutant.
}

// firstFailure runs the tests and returns the name of the first that fails,
// noTest, or "". It ends the program as soon as it knows.
func (t *testRun) firstFailure(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(within, t.program, t.args()...) //nolint:gosec // It was compiled here.
	cmd.Dir = t.dir
	cmd.WaitDelay = 10 * time.Second
	// Test servers end with the program, also when it is killed.
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	failed := scan(stdout)
	if failed != "" {
		cancel()
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case failed != "":
		return failed, nil
	case err != nil, within.Err() != nil:
		return noTest, ignoreExit(err)
	}
	return "", nil
}

// ignoreExit makes no error of a program that ended with a failure.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (t *testRun) args() []string {
	args := []string{"-test.v=true", "-test.count=1", "-test.failfast", "-test.timeout=" + limit.String()}
	if t.short {
		args = append(args, "-test.short")
	}
	if len(t.only) > 0 {
		args = append(args, "-test.run=^("+strings.Join(t.only, "|")+")$")
	}
	if len(t.skip) > 0 {
		args = append(args, "-test.skip=^("+strings.Join(t.skip, "|")+")$")
	}
	return args
}

var failLine = regexp.MustCompile(`^\s*--- FAIL: ([^/ ]+)`)

// scan reads what the tests write up to the first failure. A subtest's counts
// for its test, which has not ended yet.
func scan(r io.Reader) string {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if m := failLine.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if strings.HasPrefix(line, "panic: ") {
			return noTest
		}
		if err != nil {
			return ""
		}
	}
}
