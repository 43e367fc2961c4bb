package echobun

import (
	"errors"
	"fmt"

	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

// This file keeps statements from ending a session's transaction behind its
// back. What came before would be committed on one bind and rolled back on the
// others, or be told as committed and be gone.

// errEnded is what became of a transaction that a statement has ended all the
// same: from within a procedure, or by a text that the server reads in another
// way.
var errEnded = errors.New("a statement in the transaction has ended it on the server: what came before may be committed")

// mayRun returns why a text cannot be sent in a session's transaction, or nil.
// It goes by the first words of each of its statements.
func (e *engine) mayRun(query string) error {
	switch op, how := e.ending(query); how {
	case sqltext.Controls:
		return fmt.Errorf("%s would end the transaction on this bind alone: use RunInTx, or Commit and Rollback of the session", op)
	case sqltext.Commits:
		return fmt.Errorf("%s would commit the transaction, as DDL does on MySQL and MariaDB: send it outside of one", op)
	default:
		return nil
	}
}

// ending is [sqltext.EndingOf] for the engine's kind of database.
func (e *engine) ending(query string) (op string, how sqltext.Ending) {
	return sqltext.EndingOf(e.words(), query)
}

// words is how the engine's kind of database writes statements.
func (e *engine) words() sqlwords.Dialect { return sqltext.Words(e.db.Dialect().Name()) }

func (e *engine) is(name dialect.Name) bool { return e.db.Dialect().Name() == name }

// mayRun returns why a statement cannot be sent on the connection as it is, or
// nil.
func (c *conn) mayRun(query string) error {
	if err := c.e.mayWrite(query); err != nil {
		return err
	}
	if c.branch == nil {
		return nil
	}
	if c.hasEnded() {
		return errEnded
	}
	return c.e.mayRun(query)
}

// hasEnded reports whether the server knows nothing of the session's
// transaction any more. In XA, which has a fixed ID, the server refuses what
// would end it.
func (c *conn) hasEnded() bool {
	return c.branch != nil && (c.branch.part == nil || !c.branch.part.Fixed) && c.teller != nil && !c.teller.InTransaction()
}
