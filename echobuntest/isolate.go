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
// goroutine has open waits for it, and fails after 10 s.
//
// Isolation levels and read-only transactions are not kept inside, and
// two-phase commits are commits in one phase. On MySQL and MariaDB, DDL ends
// the transaction, and the isolation with it: call CreateAll before Isolate.
// An extension that is isolated already, is closed, or has an engine of the
// application's own (EngineOptions.DB) fails the test. Connections that are in
// use meanwhile are not isolated.
//
// Tests with an extension of their own may run in parallel; on SQLite files
// they need files of their own too, for the transaction has the lock to write.
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
