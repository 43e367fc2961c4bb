package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestDefaultExpr(t *testing.T) {
	t.Parallel()

	u, err := driver.ParseURL(dbtest.MariaDB(t).URL())
	require.NoError(t, err)
	drv, err := driver.Lookup(u)
	require.NoError(t, err)
	defaulter, ok := drv.(driver.Defaulter)
	require.True(t, ok)

	for _, test := range []struct{ kind, expr, want string }{
		{"datetime", "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP(6)"},
		{"datetime", " now() ", "CURRENT_TIMESTAMP(6)"},
		{"datetime", "'2024-01-01'", "'2024-01-01'"},
		{"text", "'none'", "('none')"},
		{"json", "'{}'", "('{}')"},
		{"integer", "7", "7"},
		{"varchar", "'x'", "'x'"},
	} {
		require.Equal(t, test.want, defaulter.DefaultExpr(test.kind, test.expr), "%s %s", test.kind, test.expr)
	}
}
