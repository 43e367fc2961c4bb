package mysql

import (
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
	"github.com/echobun/echobun/internal/wire"
)

// A statement is one that was sent, and whose end has to be explained.
type statement struct {
	conn  *conn
	query string
	inTx  bool   // It was sent inside a transaction.
	watch *watch // Nil for a context that cannot end.
}

// A silentError is the end of a context after which the server has not even
// answered that the statement was stopped.
type silentError struct{ cause error }

func (e *silentError) Error() string { return "the server does not answer: " + e.cause.Error() }

func (e *silentError) Unwrap() error { return e.cause }

// end stops watching, and says what err means for the statement.
func (s statement) end(err error) error {
	cause := s.conn.release(s.watch)
	if errors.Is(err, gomysql.ErrBusyBuffer) {
		err = fmt.Errorf("mysql: rows of an earlier query on this connection are still open: close them first: %w", err)
	}
	s.conn.heardGuarded(err)
	if cause != nil {
		s.conn.broken = true // A late KILL must not hit the next statement.
	}
	switch {
	case isLost(err):
		s.conn.broken = true
		if cause != nil {
			err = &silentError{cause}
		}
		if s.inTx && s.undone() {
			return err
		}
		return wire.OutcomeUnknown(err)
	case cause == nil:
		return err
	case err == nil && reads(s.query):
		return cause // SELECT SLEEP(9) succeeds when it is stopped.
	case isStopped(err):
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// undone reports whether the end of the connection undoes the statement, if it
// was sent inside a transaction.
func (s statement) undone() bool {
	if s.conn.connector.settings.cfg.MultiStatements && strings.Contains(s.query, ";") {
		return false
	}
	switch firstWord(s.query) {
	case "insert", "replace", "update", "delete", "with", "load", "savepoint", "release", "rollback",
		"select", "values", "table", "do": // A function cannot commit.
		return true
	}
	return reads(s.query)
}

// reads reports whether a statement is one that writes nothing, nor calls what may.
func reads(query string) bool {
	return sqltext.ReplyOf(sqlwords.MySQL, query) == sqltext.OfRead || firstWord(query) == "explain"
}

// firstWord returns a statement's first word in lower case, past blanks,
// parentheses and comments.
func firstWord(query string) string {
	s := sqlwords.MySQL.Scan(query)
	word := s.Next()
	for word == "(" {
		word = s.Next()
	}
	return strings.ToLower(word)
}

// isLost reports whether err means that the connection broke after something
// had been sent. [sqldriver.ErrBadConn] means that nothing was.
func isLost(err error) bool {
	if err == nil || errors.Is(err, sqldriver.ErrBadConn) {
		return false
	}
	for _, lost := range []error{
		gomysql.ErrInvalidConn, gomysql.ErrMalformPkt, gomysql.ErrPktSync, gomysql.ErrPktSyncMul,
		io.ErrUnexpectedEOF, io.ErrShortWrite, net.ErrClosed,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	var netErr net.Error
	return errors.As(err, &netErr)
}

// isStopped reports whether err is the server's word that a KILL stopped the
// statement.
func isStopped(err error) bool {
	var e *gomysql.MySQLError
	return errors.As(err, &e) && (e.Number == errQueryInterrupted || e.Number == errConnectionKilled)
}
