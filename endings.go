package echobun

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/uptrace/bun/dialect"
)

// This file keeps statements from ending a session's transaction behind its
// back. What came before would be committed on one bind and rolled back on the
// others, or be told as committed and be gone.

// errEnded is what became of a transaction that a statement has ended all the
// same: from within a procedure, or in a comment that MySQL executes.
var errEnded = errors.New("a statement in the transaction has ended it on the server: what came before may be committed")

// mayRun returns why a statement cannot be sent in a session's transaction, or
// nil. It goes by the statement's first words.
func (e *engine) mayRun(query string) error {
	if isPlain(query) {
		return nil
	}
	op := operation(query)
	switch {
	case e.is(dialect.MySQL) && op == "BEGIN" && strings.Contains(strings.ToUpper(query), "NOT ATOMIC"):
		return nil // MariaDB's compound statement.
	case controls(op, query):
		return fmt.Errorf("%s would end the transaction on this bind alone: use RunInTx, or Commit and Rollback of the session", op)
	case e.is(dialect.MySQL) && commitsImplicitly(op, query):
		return fmt.Errorf("%s would commit the transaction, as DDL does on MySQL and MariaDB: send it outside of one", op)
	}
	return nil
}

func (e *engine) is(name dialect.Name) bool { return e.db.Dialect().Name() == name }

// isPlain tells most statements quickly.
func isPlain(query string) bool {
	if len(query) < 6 {
		return false
	}
	first := query[:6]
	return strings.EqualFold(first, "SELECT") || strings.EqualFold(first, "INSERT") ||
		strings.EqualFold(first, "UPDATE") || strings.EqualFold(first, "DELETE") || strings.EqualFold(first[:5], "WITH ")
}

// controls reports whether a statement begins or ends a transaction.
func controls(op, query string) bool {
	first, second, _ := strings.Cut(op, " ")
	switch first {
	case "BEGIN", "START", "COMMIT", "END", "ABORT", "XA":
		return true
	case "PREPARE":
		return second == "TRANSACTION"
	case "ROLLBACK":
		toSavepoint := second == "TO" ||
			(second == "WORK" || second == "TRANSACTION") && strings.Contains(strings.ToUpper(query), " TO ")
		return !toSavepoint
	}
	return false
}

// commitsImplicitly reports whether MySQL and MariaDB commit before such a statement.
func commitsImplicitly(op, query string) bool {
	first, second, _ := strings.Cut(op, " ")
	switch first {
	case "CREATE", "DROP":
		temporary := second == "TEMPORARY" || second == "OR" && strings.Contains(strings.ToUpper(query), "REPLACE TEMPORARY ")
		return !temporary && second != "PREPARE"
	case "ALTER", "TRUNCATE", "RENAME", "LOCK", "GRANT", "REVOKE", "OPTIMIZE", "REPAIR", "CHECK", "FLUSH":
		return true
	case "ANALYZE", "SET":
		return maintains.MatchString(query)
	}
	return false
}

// maintains are statements whose first word may also begin a harmless one.
var maintains = regexp.MustCompile(`(?i)\b(analyze\s+((no_write_to_binlog|local)\s+)?table|set\s+password)\b`)

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
