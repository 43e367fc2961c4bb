package wire

import (
	"context"
	"errors"
	"time"
)

// Credentials is the type of driver.Options.Credentials.
type Credentials func(ctx context.Context) (user, password string, err error)

// A CredentialsError is the failure of Credentials.
type CredentialsError struct{ Err error }

// Error says that it is not the database that has failed.
func (e *CredentialsError) Error() string { return "credentials: " + e.Err.Error() }

// Unwrap returns Err.
func (e *CredentialsError) Unwrap() error { return e.Err }

// Ask asks for the user and the password of a connection, for no longer than
// limit, if that is not zero. It is called on goroutines that nobody recovers,
// so a panic is an error.
func (c Credentials) Ask(ctx context.Context, limit time.Duration) (user, password string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("the function panicked") // With what, may be a secret.
		}
		if err != nil {
			user, password, err = "", "", &CredentialsError{Err: err}
		}
	}()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if user, password, err = c(ctx); err == nil && user == "" {
		err = errors.New("no user")
	}
	return user, password, err
}
