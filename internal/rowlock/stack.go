package rowlock

import (
	"strconv"
	"strings"
)

// A goroutine is what its stack says of it.
type goroutine struct {
	id     string
	state  string
	elided bool    // Not all frames are there.
	frames []frame // Innermost first. Nil if none is of rows.
}

// A frame is a call of a function.
type frame struct {
	name string
	arg  uintptr // The first argument; 0 if it is not known.
}

const (
	rowsMethod = "database/sql.(*Rows)."
	rowsClose  = rowsMethod + "close"
	locks      = "Mutex).Lock" // Of sync, or of database/sql itself.
)

// parse reads what [runtime.Stack] has written.
func parse(text string) []goroutine {
	var all []goroutine
	for block := range strings.SplitSeq(text, "\n\n") {
		head, body, _ := strings.Cut(block, "\n")
		id, state, _ := strings.Cut(strings.TrimPrefix(head, "goroutine "), " [")
		state, _, _ = strings.Cut(state, "]")
		state, _, _ = strings.Cut(state, ",")
		g := goroutine{id: id, state: state, elided: strings.Contains(body, "frames elided") || strings.Contains(body, "stack unavailable")}
		if strings.Contains(body, rowsMethod) {
			g.frames = frames(body)
		}
		all = append(all, g)
	}
	return all
}

func frames(body string) []frame {
	var all []frame
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		args := strings.LastIndexByte(line, '(')
		if args < 0 || line[0] == '\t' || strings.HasPrefix(line, "created by ") {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimSuffix(line[args+1:], ")"), ",")
		arg, err := strconv.ParseUint(first, 0, 64) // What ends with a question mark may be of something else.
		if err != nil {
			arg = 0
		}
		all = append(all, frame{line[:args], uintptr(arg)})
	}
	return all
}

// waits returns the index of the frame of database/sql that waits for a lock to
// close something, or -1.
func (g goroutine) waits() int {
	if g.state != "sync.RWMutex.Lock" && g.state != "sync.Cond.Wait" { // As of Go 1.27.
		return -1
	}
	for i, f := range g.frames {
		if strings.HasSuffix(f.name, locks) && i+1 < len(g.frames) && strings.HasPrefix(g.frames[i+1].name, "database/sql.") {
			return i + 1
		}
		if !strings.HasPrefix(f.name, "sync.") {
			return -1
		}
	}
	return -1
}

// closes returns the rows that the goroutine waits to close, or 0.
func (g goroutine) closes() uintptr {
	if i := g.waits(); i >= 0 && g.frames[i].name == rowsClose {
		return g.frames[i].arg
	}
	return 0
}

// readers returns the rows that the goroutine is about to read, or 0 for one of
// which that is not known; and those that it was when it panicked, to which it
// does not come back since it waits.
func (g goroutine) readers() (reading []uintptr, left map[uintptr]bool) {
	waits, panicked := g.waits(), false
	closing := waits >= 0 && g.frames[waits].name == rowsClose
	for i, f := range g.frames {
		rows := strings.HasPrefix(f.name, rowsMethod)
		closing = closing && (i <= waits || rows) // Next closes them at their end, without the lock.
		switch {
		case waits >= 0 && i > waits && (f.name == "panic" || f.name == "runtime.Goexit"):
			panicked = true
		case !rows || closing || !g.holds(i):
		case !panicked:
			reading = append(reading, f.arg)
		default:
			if left == nil {
				left = map[uintptr]bool{}
			}
			left[f.arg] = true
		}
	}
	return reading, left
}

// holds reports whether the i-th frame, a method of rows, may hold their lock.
func (g goroutine) holds(i int) bool {
	switch method := g.frames[i].name[len(rowsMethod):]; {
	case method == "Close", method == "awaitDone", strings.Contains(method, "."): // A function in a method, whose frame comes next.
		return false
	case method == "close":
		return i == 0 || !strings.HasSuffix(g.frames[i-1].name, locks)
	}
	if g.state != "sync.RWMutex.RLock" {
		return true
	}
	for _, f := range g.frames[:i] { // Does it wait behind who closes the rows?
		if !strings.HasPrefix(f.name, "sync.") && f.name != "database/sql.withLock" {
			return true
		}
	}
	return false
}
