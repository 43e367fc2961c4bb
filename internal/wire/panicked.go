package wire

import (
	"fmt"
	"runtime"
	"strings"
)

// Panicked is the error of a panic that must not go on, since somebody below
// holds what it would never give back. It says where the panic came from, and
// unwraps to a panic's value that is an error. What is in quotes may be a value
// of the user's.
func Panicked(what string, value any) error {
	e := &panicError{what: what, at: panicPlace(), value: fmt.Sprint(value)}
	e.cause, _ = value.(error)
	return e
}

type panicError struct {
	what, at, value string
	cause           error
}

// Error quotes the value, which is left out where a log must not show one.
func (e *panicError) Error() string {
	return fmt.Sprintf("%s panicked%s: %q", e.what, e.at, e.value)
}

// Unwrap returns the value if it is an error.
func (e *panicError) Unwrap() error { return e.cause }

// panicPlace says which line has panicked, as far as a deferred function can see.
func panicPlace() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf(" at %s:%d", f.File, f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}
