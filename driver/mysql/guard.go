package mysql

import (
	"errors"
	"strings"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/sqlwords"
)

// A guard finds out whether a statement has ended its transaction and begun
// another one, so that the server's status tells nothing: a procedure, a prepared
// statement and a compound one may. It is a savepoint before that statement. As
// soon as somebody asks, it is released: where there is none any more, the
// transaction is another one.
//
// It is set in the transactions of a session alone: nobody asks in others.
type guard struct {
	limit time.Duration // What its statements may take; zero outside of a session's transaction.
	set   bool
	ended bool // The savepoint was gone.
}

const guardName = "echobun_guard"

// errNoSavepoint is the number of the error of a savepoint that does not exist.
const errNoSavepoint = 1305

// setGuard is called before a statement is sent.
func (c *conn) setGuard(query string) error {
	if c.guard.limit == 0 || !mayEndInside(query) {
		return nil
	}
	if err := c.control("SAVEPOINT " + guardName); err != nil {
		return err
	}
	c.guard.set = true
	return nil
}

// heardGuarded is called with the error of each statement. One that has ended
// the transaction says so by itself, and takes the savepoint along.
func (c *conn) heardGuarded(err error) {
	if c.guard.set && err != nil && classify(err)&driver.DoomsTx != 0 {
		c.guard.set = false
	}
}

// endedInside reports whether a statement has ended the transaction.
func (c *conn) endedInside() bool {
	if c.guard.set && c.inner.IsValid() {
		c.guard.set = false
		var refused *gomysql.MySQLError
		err := c.control("RELEASE SAVEPOINT " + guardName)
		c.guard.ended = errors.As(err, &refused) && refused.Number == errNoSavepoint
	}
	return c.guard.ended
}

func (c *conn) control(query string) error {
	return c.bounded(c.guard.limit, func() error { return c.plain(query) })
}

// mayEndInside reports whether a text has a statement that may do anything.
func mayEndInside(query string) bool {
	if !deservesALook(query) {
		return false
	}
	s := sqlwords.MySQL.Scan(query)
	for word := s.Next(); word != ""; word = s.Next() {
		if sqlwords.Is(word, "call", "execute", "begin", "if", "case", "loop", "repeat", "while", "for") || s.Peek() == ":" {
			return true
		}
		if sqlwords.Is(word, "set") && sqlwords.Is(s.Peek(), "statement") && strings.Contains(strings.ToLower(s.Rest()), "for") {
			return true
		}
		for word != "" && word != ";" {
			word = s.Next()
		}
	}
	return false
}
