package echobun_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// A parameter that only the server can know to be wrong is a mistake that is
// told, and no outage that is waited for.
func TestRefusedParameterIsNoOutage(t *testing.T) {
	t.Parallel()
	postgres, mariadb := dbtest.Postgres(t).URL(), dbtest.MariaDB(t).URL()
	for url, name := range map[string]string{
		postgres + "?no_such_setting=1":           "no_such_setting",
		postgres + "?statement_timeout=soon":      "statement_timeout",
		postgres + "?max_connections=7":           "max_connections",
		mariadb + "?no_such_variable=1":           "no_such_variable",
		mariadb + "?tx_isolation=none":            "tx_isolation",
		mariadb + "?max_connections=7":            "max_connections",
		mariadb + "?collation=utf8mb4_klingon_ci": "utf8mb4_klingon_ci",
	} {
		x := newExtension(t, echobun.Config{DatabaseURI: url})
		ctx, s := newSession(t, x)
		err := s.Bind("").NewRaw("SELECT 1").Scan(ctx, new(int))
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "parameter of the URL")
		require.NotErrorIs(t, err, echobun.ErrUnavailable, name)
	}
}
