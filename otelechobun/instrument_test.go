package otelechobun_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// Parameters go over what stands before them in the URL.
func TestServerOfParameters(t *testing.T) {
	t.Parallel()
	server := dbtest.Postgres(t)
	for _, key := range []string{"dbname", "database"} {
		u, err := url.Parse(server.URLVia(server.Host + ":1"))
		require.NoError(t, err)
		u.Path = "/nowhere"
		query := u.Query()
		query.Set("port", strconv.Itoa(server.Port))
		query[key] = []string{"neither", server.Database}
		u.RawQuery = query.Encode()
		w := watch(t, echobun.Config{DatabaseURI: u.String()})
		ctx, db, _ := w.session(t)
		require.NoError(t, ran(db.Bind("").ExecContext(ctx, "SELECT 1")))
		_, spans := w.take()
		got := attrs(spans[0])
		require.Equal(t, server.Database, got["db.namespace"], key)
		require.Equal(t, server.Host, got["server.address"], key)
		require.EqualValues(t, server.Port, got["server.port"], key)
	}
}
