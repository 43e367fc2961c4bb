package echobun

import (
	"github.com/echobun/echobun/internal/sqltext"
)

// A valueError is a value that Bun or a dialect refused to write. Both say so
// in the middle of the statement, in place of the value, and leave it to the
// server to call that a mistake in its syntax.
type valueError struct{ reason string }

func (e *valueError) Error() string {
	return "the statement was not sent, for a value in it: " + e.reason
}

// mayWrite returns why a statement cannot be sent because of a value in it, or
// nil. It looks at finished SQL, where all values have come together, however
// they were given.
func (e *engine) mayWrite(query string) error {
	if reason, refused := sqltext.Refusal(query, e.words()); refused {
		return &valueError{reason: reason}
	}
	return nil
}
