package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/echobun/echobun/driver/drivertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()

	t.Run("file", func(t *testing.T) {
		t.Parallel()
		drivertest.Run(t, drivertest.Config{URL: func(tb testing.TB) string {
			tb.Helper()
			return "sqlite:///" + filepath.Join(tb.TempDir(), "test.db")
		}})
	})
}
