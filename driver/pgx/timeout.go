package pgx

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Who asks [pgconn.Timeout] whether an error comes from a deadline asks for
// a type of pgconn's own, which an error has not got if the server has cancelled
// the statement, as this package wants it to.

// deadlineSample is an error that pgconn takes for a timeout. A connection gives
// it for a context that has ended already, without sending anything.
var deadlineSample = struct {
	once sync.Once
	err  error
}{}

func learnTimeout(c *pgconn.PgConn) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Time{}) // It is over.
	defer cancel()
	deadlineSample.once.Do(func() {
		deadlineSample.err = c.Ping(ctx)
	})
}

// asTimeout is the As of an error that comes from a deadline. It answers for
// pgconn's type alone: the sample also says that nothing was sent.
func asTimeout(cause error, target any) bool {
	if !errors.Is(cause, context.DeadlineExceeded) || reflect.TypeOf(target).String() != "**pgconn.errTimeout" {
		return false
	}
	return errors.As(deadlineSample.err, target)
}

// An endedError is the error of a context that had ended before anything was sent.
type endedError struct{ error }

func (e endedError) Unwrap() error { return e.error }

func (e endedError) As(target any) bool { return asTimeout(e.error, target) }

// ended returns the error of a context that has ended, or nil.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return endedError{err}
	}
	return nil
}
