package dbtest

import (
	"errors"
	"testing"
)

// Missing ends a test as a machine without PostgreSQL does.
func Missing(tb testing.TB) {
	tb.Helper()
	skipOrFail(tb, &postgres, errMissing)
}

// TryStandby is [Server.Standby] and [Server.Promote] for who expects them to fail.
func TryStandby(s *Server) error {
	_, err := s.standby(nil)
	return errors.Join(err, promote(s))
}
