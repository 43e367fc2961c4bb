package wire

import "errors"

// RefusedParameter wraps the error of a server that is there and does not take
// a parameter of the URL: to try again is no use. It is nil for nil.
func RefusedParameter(err error) error {
	if err == nil {
		return nil
	}
	return &parameterError{cause: err}
}

// IsRefusedParameter reports whether err comes from [RefusedParameter].
func IsRefusedParameter(err error) bool {
	var e *parameterError
	return errors.As(err, &e)
}

type parameterError struct{ cause error }

func (e *parameterError) Error() string {
	return "the server does not take a parameter of the URL, or its value: " + e.cause.Error()
}

func (e *parameterError) Unwrap() error { return e.cause }
