//go:build failpoint

package crashtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/failpoint"
)

// This file is the child process.

// childEnv is the variable with the child's orders. It makes the test binary a child.
const childEnv = "ECHOBUN_CRASH_CHILD"

// Orders are what a child has to do.
type orders struct {
	Databases databases
	Run       int64
	Variants  []int // Indexes of those that its transactions are of, in turn.
	Workers   int   // How many goroutines run transactions.
	Limit     int   // How many transactions each of them runs; zero means until the input ends.
	Trace     bool  // Tell each step. For one worker, as what follows.
	Step      string
	Nth       int // In which transaction the child kills itself at Step.
}

// The words that begin the lines of a child's output.
const (
	wordAck  = "ack"  // And an entry's ID: its transaction has committed.
	wordFail = "fail" // And an entry's ID and the error.
	wordStep = "step" // And its name.
)

const (
	// childEnds is how long a child may take to end once its input has.
	childEnds = 20 * time.Second
	// failPause keeps a child from spinning while a server is away.
	failPause = 5 * time.Millisecond
)

type child struct {
	orders

	x     *echobun.Extension
	ended atomic.Bool // The input has.

	// Of the one worker, if there are steps to be told or to die at.
	transaction int
	hits        map[string]int
}

// runChild is the main function of a child. It returns the exit code.
func runChild(config string) int {
	c := &child{}
	if err := json.Unmarshal([]byte(config), &c.orders); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		return 2
	}
	go c.watchInput()
	var err error
	if c.x, err = c.Databases.extension(slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "extension:", err)
		return 2
	}
	if c.Workers == 1 {
		failpoint.Set(c.hit)
	}
	var workers sync.WaitGroup
	for worker := range c.Workers {
		workers.Go(func() { c.work(worker) })
	}
	workers.Wait()
	if err := c.x.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close:", err)
		return 1
	}
	return 0
}

// watchInput ends the child when its input ends: when the parent says so, or
// is gone.
func (c *child) watchInput() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	c.ended.Store(true)
	time.Sleep(childEnds)
	os.Exit(3)
}

// work runs transactions one after the other.
func (c *child) work(worker int) {
	ctx, end := c.x.AppContext(context.Background())
	defer end()
	s, err := c.x.Session(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "session:", err)
		return
	}
	for n := 1; !c.ended.Load() && (c.Limit == 0 || n <= c.Limit); n++ {
		v := &variants[c.Variants[(worker+n)%len(c.Variants)]]
		id := fmt.Sprintf("%d-%d", worker, n)
		c.next(n)
		if err := v.write(ctx, s, Entry{Run: c.Run, ID: id, Variant: v.name}); err != nil {
			say("%s %s %s: %v", wordFail, id, v.name, err)
			time.Sleep(failPause)
			continue
		}
		say("%s %s", wordAck, id)
	}
}

// say writes a line of output at once.
func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// next begins to count the steps of a transaction.
func (c *child) next(transaction int) {
	if c.Workers == 1 {
		c.transaction, c.hits = transaction, map[string]int{}
	}
}

// hit is called at each step.
func (c *child) hit(step string) {
	c.hits[step]++
	name := fmt.Sprintf("%s#%d", step, c.hits[step])
	if c.Trace {
		say("%s %s", wordStep, name)
	}
	if name == c.Step && c.transaction == c.Nth {
		die()
	}
}

// die ends the process by a signal that nothing in it can catch.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
