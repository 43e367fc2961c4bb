// Package wire holds what the drivers of networked databases share: the error
// of a lost reply, the time limit of a commit, and the warning about
// connections that can be read on their way.
package wire

import (
	sqldriver "database/sql/driver"
	"errors"
)

// OutcomeUnknown wraps the error of a statement that was sent and whose reply
// was lost. The result never matches [sqldriver.ErrBadConn], so database/sql
// does not send the statement a second time. It is nil for nil.
func OutcomeUnknown(err error) error {
	if err == nil {
		return nil
	}
	return &outcomeError{cause: err}
}

// IsOutcomeUnknown reports whether err comes from [OutcomeUnknown].
func IsOutcomeUnknown(err error) bool {
	var e *outcomeError
	return errors.As(err, &e)
}

type outcomeError struct{ cause error }

func (e *outcomeError) Error() string {
	return "connection lost, the statement may or may not have run: " + e.cause.Error()
}

func (e *outcomeError) Unwrap() error {
	if errors.Is(e.cause, sqldriver.ErrBadConn) {
		return nil
	}
	return e.cause
}
