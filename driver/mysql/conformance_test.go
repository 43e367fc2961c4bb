package mysql_test

import (
	"testing"

	"github.com/echobun/echobun/driver/drivertest"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()

	drivertest.Run(t, drivertest.Config{
		Network: true,
		URL: func(tb testing.TB) string {
			tb.Helper()
			return dbtest.MariaDB(tb).URL()
		},
	})
}
