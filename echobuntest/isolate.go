package echobuntest

import (
	"errors"
	"testing"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/bridge"
)

// Isolate puts every bind of x, also one that is first used later in the
// test, into a transaction that is rolled back when tb ends. Everything is
// inside: sessions, what Bind, For and Engine give, requests. Rows that one
// app context or request writes are seen by the next one of the same test and
// by nobody else.
//
// A transaction inside is a savepoint: a commit releases it, a rollback goes
// back to it; nested transactions and atomic requests work as ever. So each
// bind has one connection, which transactions and statements of several
// goroutines take in turn. A statement outside of a transaction that the same
// goroutine has open waits for it, until its context ends or for 10 s.
//
// What is otherwise inside:
//
//   - Isolation levels and read-only transactions are not kept, and two-phase
//     commits are commits in one phase.
//   - Statements that begin or end a transaction by SQL fail. So does DDL on
//     MySQL and MariaDB, which would commit the test: TRUNCATE, and CreateAll
//     if there is something to make. Call CreateAll before Isolate; elsewhere
//     it would hold its lock, too, until the test ends.
//   - All is one transaction: PostgreSQL's now() stands still, deferred
//     constraints are not checked, IDs go on counting after the test, and SQLite
//     finishes what it writes when a context ends.
//
// A transaction that is still open when tb ends fails the test, and is rolled
// back. So does an isolation that was lost, by DDL in a procedure, a COMMIT in
// a script or a deadlock; what the test wrote may stay then, and statements
// after it say so.
//
// An extension that is isolated already, is closed, or has an engine of the
// application's own (EngineOptions.DB) fails the test. Connections that are in
// use when Isolate is called are not isolated. The extension may be closed
// before tb ends.
//
// Tests with an extension of their own may run in parallel. Those that write
// the same unique keys or rows of one database wait for each other, for the
// locks are held until the end; on SQLite they need files of their own.
func Isolate(tb testing.TB, x *echobun.Extension) {
	tb.Helper()
	end, err := bridge.Isolate(x)
	if err != nil {
		tb.Fatalf("echobuntest: %v", err)
	}
	tb.Cleanup(func() {
		if err := end(); err != nil && !errors.Is(err, echobun.ErrClosed) {
			tb.Errorf("echobuntest: %v", err)
		}
	})
}
