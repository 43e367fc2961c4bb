package pgx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/echobun/echobun/internal/wire"
)

// SQLSTATE codes that this package looks at by name.
const (
	codeQueryCanceled = "57014"
	classConnection   = "08"
)

var (
	errNoReply = errors.New("the connection ended before the reply came")
	errBusy    = errors.New("pgx: rows of an earlier query on this connection are still open: close them first")
)

// A lostError is a connection lost inside a transaction. The server rolls the
// transaction back, so its outcome is known.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return "pgx: connection lost inside a transaction, which the server rolls back: " + e.cause.Error()
}

func (e *lostError) Unwrap() error { return e.cause }

// A canceledError is the error of a statement whose context ended.
type canceledError struct{ ctx, cause error }

func (e *canceledError) Error() string { return "pgx: " + e.ctx.Error() + ": " + e.cause.Error() }

func (e *canceledError) Unwrap() []error { return []error{e.ctx, e.cause} }

// As has pgconn know a deadline.
func (e *canceledError) As(target any) bool { return asTimeout(e.ctx, target) }

// A staleError is a statement that a request to cancel an earlier one has hit.
type staleError struct {
	cause error
	inTx  bool
}

func (e *staleError) Error() string {
	return "pgx: the request to cancel an earlier statement hit this one, which may be tried again: " + e.cause.Error()
}

func (e *staleError) Unwrap() error { return e.cause }

// A statement is what has to be known of one to explain its failure.
type statement struct {
	query string
	inTx  bool // It began in an explicit transaction.
}

// failed explains the error of a statement that was handed to pgx. An error
// that database/sql would answer by sending the statement again comes out only
// if the server cannot have got it.
func (c *conn) failed(ctx context.Context, s statement, err error) error {
	c.hangUp()
	if pgErr := serverError(err); pgErr != nil && !c.fromPooler(pgErr) {
		if pgErr.Code == codeQueryCanceled {
			return c.canceled(ctx, s, err)
		}
		return err
	}
	if !c.pgc.IsClosed() {
		return notSent(ctx, err)
	}
	if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, pgconn.ErrConnClosed) {
		err = errNoReply // Pgx has dropped the reason on its way.
	}
	err = withContext(ctx, err)
	if s.inTx && !mayCommit(s.query) {
		return &lostError{cause: err}
	}
	return wire.OutcomeUnknown(err)
}

// canceled explains the error of a statement that the server has cancelled,
// which therefore has had no effect.
func (c *conn) canceled(ctx context.Context, s statement, err error) error {
	pgErr := serverError(err)
	if ctx.Err() != nil {
		c.canceller.strikes(pgErr)
	} else if c.canceller.strays(pgErr) {
		return &staleError{cause: err, inTx: s.inTx}
	}
	return withContext(ctx, err)
}

// fromPooler reports whether a server error is rather a pooler's way to say
// that it has lost the server.
func (c *conn) fromPooler(err *pgconn.PgError) bool {
	return c.pgc.IsClosed() && strings.HasPrefix(err.Code, classConnection)
}

// serverError returns what the server answered, or nil.
func serverError(err error) *pgconn.PgError {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr
	}
	return nil
}

// notSent is the error of a statement that failed before it was sent, or whose
// result could not be decoded. The connection is fine.
func notSent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if errors.Is(err, sqldriver.ErrBadConn) {
			return ended(ctx)
		}
		return withContext(ctx, err)
	}
	return err
}

// withContext adds to err that ctx has ended, if it has.
func withContext(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return &canceledError{ctx: ctx.Err(), cause: err}
}

// committing finds what may end a transaction: its only use is to doubt, so
// it may find too much.
var committing = regexp.MustCompile(`(?i)(?:^|;|\*/|--[^\r\n]*[\r\n])\s*(?:commit|end|prepare\s+transaction|rollback\s+prepared)\b`)

// mayCommit reports whether a statement sent inside a transaction may have
// committed it.
func mayCommit(query string) bool { return committing.MatchString(query) }

// plain finds the statements that leave nothing behind when they fail.
var plain = regexp.MustCompile(`(?i)^\s*(?:select|insert|update|delete|merge|with|values|table|begin)\b`)

// runsAgain reports whether a statement may be sent once more after err:
// the server has answered that it cancelled it, though nobody wanted that.
func (c *conn) runsAgain(ctx context.Context, s statement, err error) bool {
	pgErr := serverError(err)
	return pgErr != nil && pgErr.Code == codeQueryCanceled && ctx.Err() == nil &&
		!s.inTx && !c.inTx() && !c.pgc.IsClosed() && plain.MatchString(s.query) && !mayCommit(s.query) && c.canceller.strays(pgErr)
}
