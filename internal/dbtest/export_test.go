package dbtest

import "testing"

// Missing ends a test as a machine without PostgreSQL does.
func Missing(tb testing.TB) {
	tb.Helper()
	skipOrFail(tb, &postgres, errMissing)
}
