package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/echobun/echobun/driver"
)

var (
	errNUL        = errors.New("sqlite: NUL byte (0x00) in the text of a statement: SQLite would not read past it; give it as an argument")
	errDeadlock   = errors.New("deadlock: who has it waits for what this transaction has on another file")
	errQueue      = errors.New("other writers of this process came first")
	errEnded      = errors.New("sqlite: the transaction was ended by a COMMIT or ROLLBACK of its own")
	errRolledBack = errors.New("sqlite: the statement rolled it back")
	errClosed     = errors.New("sqlite: database is closed")
)

// A lockError is a lock that was not to be had in time.
type lockError struct {
	where  location
	waited time.Duration
	cause  error
}

func (e *lockError) Error() string {
	hint := ""
	switch {
	case errors.Is(e.cause, errDeadlock):
		hint = " (use the files in the same order everywhere, or transaction=deferred where some are only read)"
	case errors.Is(e.cause, errQueue):
		hint = " (a statement outside an open transaction waits for that to end: use the transaction, or raise busy_timeout)"
	}
	return fmt.Sprintf("sqlite: %v: database is locked: waited %v: %v%s", e.where, e.waited.Round(time.Millisecond), e.cause, hint)
}

func (e *lockError) Unwrap() error { return e.cause }

// A lostError is a transaction that SQLite has rolled back on its own.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return fmt.Sprintf("sqlite: the whole transaction was rolled back, only a rollback is left: %v", e.cause)
}

func (e *lostError) Unwrap() error { return e.cause }

// A fileError is a failure that has to do with the file more than with the
// statement.
type fileError struct {
	where location
	hint  string
	cause error
}

func (e *fileError) Error() string {
	if e.hint == "" {
		return fmt.Sprintf("sqlite: %v: %v", e.where, e.cause)
	}
	return fmt.Sprintf("sqlite: %v: %v: %s", e.where, e.cause, e.hint)
}

func (e *fileError) Unwrap() error { return e.cause }

// A referenceError is a table that cannot be dropped because another one
// refers to it.
type referenceError struct{ table, to string }

func (e *referenceError) Error() string {
	return fmt.Sprintf("sqlite: table %q cannot be dropped: table %q, which is not to be dropped, has a foreign key to it", e.to, e.table)
}

// codeOf returns SQLite's primary result code, zero for other errors.
func codeOf(err error) int { return extendedCodeOf(err) & 0xff }

func extendedCodeOf(err error) int {
	if err == nil {
		return sqlite3.SQLITE_OK
	}
	var e *modernc.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return sqlite3.SQLITE_OK
}

func isBusy(err error) bool { return codeOf(err) == sqlite3.SQLITE_BUSY }

// outlives reports whether the cause of an error stays with the connection
// when it is gone: one that was opened while the file could only be read never
// writes, and one of a file that was replaced goes on with the old one.
func outlives(err error) bool {
	switch codeOf(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// name adds the database to an error that is about its file.
func (l location) name(err error) error {
	switch codeOf(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB:
		return &fileError{where: l, cause: err}
	case sqlite3.SQLITE_CANTOPEN:
		return &fileError{where: l, cause: err, hint: l.explain()}
	default:
		return err
	}
}

// classify says what kind of failure err is.
func classify(err error) driver.Class {
	if err == nil {
		return 0
	}
	class := classOf(extendedCodeOf(err), err)
	if _, lost := asType[*lostError](err); lost {
		class |= driver.DoomsTx
	}
	if _, locked := asType[*lockError](err); locked && (errors.Is(err, errQueue) || errors.Is(err, errDeadlock) || isBusy(err)) {
		class |= driver.Serialization
	}
	if errors.Is(err, errYear) {
		class |= driver.InvalidValue
	}
	if _, refers := asType[*referenceError](err); refers {
		class |= driver.ForeignKey
	}
	return class
}

func asType[T error](err error) (T, bool) {
	var e T
	ok := errors.As(err, &e)
	return e, ok
}

func classOf(code int, err error) driver.Class {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return driver.Unique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return driver.ForeignKey
	case sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		return driver.NotNull
	case sqlite3.SQLITE_CONSTRAINT_CHECK:
		return driver.Check
	case sqlite3.SQLITE_CONSTRAINT_DATATYPE: // Of a table that is STRICT.
		return driver.InvalidValue
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER:
		// ON DELETE RESTRICT is done by a trigger, and so is RAISE(ABORT, ...).
		if strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
			return driver.ForeignKey
		}
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return driver.Serialization
	case sqlite3.SQLITE_READONLY:
		return driver.ReadOnly
	case sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return driver.InvalidValue
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_PERM:
		return driver.Unavailable
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL:
		return driver.Unavailable | driver.DoomsTx
	case sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT:
		return driver.DoomsTx
	}
	return 0
}
