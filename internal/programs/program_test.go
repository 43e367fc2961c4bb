package programs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A kind is what an operation of a program does.
type kind int

const (
	insert    kind = iota // A row, which succeeds.
	duplicate             // A row that is there.
	invalid               // A statement that no server understands.
	late                  // A row, with a context that has ended.
	read                  // All rows.
	goroutine             // A row, from another goroutine.
	together              // Three rows at once, from as many goroutines.
	amid                  // A row that takes its time, with a deadline that is near.
	hook                  // AfterCommit.
	cancel                // The context of the level that it is in.
	nested                // RunInTx in the transaction.
	begun                 // Begin in the transaction, ended by Commit or Rollback.
	bunNested             // RunInTx of Bun's in the transaction.
	kinds
)

var kindNames = [...]string{
	"insert", "duplicate", "invalid", "late", "read", "goroutine", "together", "amid", "hook", "cancel", "nested", "begun", "bunNested",
}

// An exit is how a function leaves.
type exit int

const (
	returns exit = iota
	fails
	panics
	exits
)

// An op is one operation.
type op struct {
	kind kind
	bind int
	hide bool // Its error is not passed on.
	exit exit
	wait time.Duration // Until the deadline of amid.
	body []op
}

// A program is one transaction.
type program struct {
	seed     uint64
	timeout  time.Duration // Of the whole; 0 is none.
	retries  int
	failures int // How many attempts fail by a serialization failure.
	twoPhase bool
	exit     exit
	body     []op
}

// newProgram returns the program of a seed.
func newProgram(seed uint64, twoPhase bool) *program {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // It is no secret.
	p := &program{seed: seed, exit: newExit(r), body: newBody(r, 3), twoPhase: twoPhase && r.IntN(3) == 0}
	if r.IntN(4) == 0 {
		p.retries, p.failures = r.IntN(3), r.IntN(3)
	}
	return p
}

// newHurried returns a program that may not have the time to end.
func newHurried(seed uint64, twoPhase bool) *program {
	p := newProgram(seed, twoPhase)
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // It is no secret.
	p.timeout = 2 * time.Second
	if r.IntN(3) > 0 {
		p.timeout = time.Duration(r.IntN(20_000)) * time.Microsecond
	}
	return p
}

// prefix is what the names of the program's rows begin with.
func (p *program) prefix() string { return fmt.Sprintf("p%07d-", p.seed) }

func newExit(r *rand.Rand) exit {
	if r.IntN(3) > 0 {
		return returns
	}
	return exit(r.IntN(int(exits)))
}

func newBody(r *rand.Rand, depth int) []op {
	body := make([]op, r.IntN(5))
	for i := range body {
		body[i] = newOp(r, depth)
	}
	return body
}

func newOp(r *rand.Rand, depth int) op {
	o := op{kind: kind(r.IntN(int(kinds))), bind: r.IntN(3), hide: r.IntN(3) > 0}
	if r.IntN(3) == 0 {
		o.kind = insert
	}
	if o.kind == cancel && r.IntN(3) > 0 {
		o.kind = read
	}
	switch {
	case o.kind >= nested && depth == 0:
		o.kind = insert
	case o.kind >= nested:
		o.exit, o.body = newExit(r), newBody(r, depth-1)
	case o.kind == together:
		o.exit = newExit(r)
	case o.kind == amid:
		o.wait = time.Duration(r.IntN(4000)) * time.Microsecond
	}
	return o
}

func (p *program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: exit %d, timeout %v, retries %d, failures %d, two phases %t\n",
		p.seed, p.exit, p.timeout, p.retries, p.failures, p.twoPhase)
	write(&b, p.body, "  ")
	return b.String()
}

func write(b *strings.Builder, body []op, indent string) {
	for _, o := range body {
		fmt.Fprintf(b, "%s%s on %d, hides %t, exit %d, wait %v\n", indent, kindNames[o.kind], o.bind, o.hide, o.exit, o.wait)
		write(b, o.body, indent+"  ")
	}
}
