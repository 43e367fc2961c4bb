package echobun_test

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// EngineOptions.TLS is a demand: without TLS on the server there is no
// connection, and the error names the bind.
func TestTLSOptionIsADemand(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{Binds: echobun.Binds{
				"auth": {URL: databases[kind](t), TLS: &tls.Config{MinVersion: tls.VersionTLS12}},
			}})
			ctx, db := newSession(t, x)
			for range 3 {
				_, err := db.Bind("auth").ExecContext(ctx, "SELECT 1")
				var bind *echobun.BindError
				require.ErrorAs(t, err, &bind)
				require.Equal(t, "auth", bind.Bind)
				require.ErrorContains(t, err, "TLS")
				require.Zero(t, x.Engines()["auth"].Stats().OpenConnections)
			}
			requireIdle(t, x)
		})
	}
}
