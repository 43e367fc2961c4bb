package echobun

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// The pauses between the attempts of RunInTx grow from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// retrying runs attempt, and up to n times more while it fails by a
// serialization failure. It gives up with the last error when ctx ends, or
// would end in the pause.
func retrying(ctx context.Context, n int, attempt func() error) error {
	err := attempt()
	for i := 0; i < n && mayRetry(err); i++ {
		if !pause(ctx, i) {
			return unhidden(err)
		}
		err = attempt()
	}
	return unhidden(err)
}

// mayRetry reports whether nothing was committed and the same work may
// succeed when it is done again.
func mayRetry(err error) bool {
	var partial *CommitError
	return isSerialization(err) && !errors.Is(err, ErrOutcomeUnknown) && !errors.As(err, &partial)
}

func isSerialization(err error) bool {
	var hidden *hiddenError
	return errors.Is(err, ErrSerialization) || errors.As(err, &hidden)
}

// hiddenError is the error of a function that did not pass on the
// serialization failure that it met.
type hiddenError struct {
	error

	cause error
}

func (e *hiddenError) Unwrap() error { return e.error }

// unhidden returns the function's own error.
func unhidden(err error) error {
	if hidden, ok := err.(*hiddenError); ok { //nolint:errorlint // Only the outermost is ours to take off.
		return hidden.error
	}
	return err
}

// pause waits before attempt i+2. The wait is random, so that those who met
// once do not meet again. It reports false if ctx leaves no time.
func pause(ctx context.Context, i int) bool {
	longest := min(firstPause<<min(i, 10), lastPause)
	d := longest/2 + rand.N(longest/2) //nolint:gosec // It is no secret.
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
