package echobun_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// TestRefusalIsRemembered asks again and again for a server that is not there,
// and is told so without another attempt for a while.
func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "fakedb://refuses/" + t.Name()})
	ctx, s := newSession(t, x)
	start := time.Now()
	for range 1000 {
		_, err := s.NewRaw("SELECT 1").Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnavailable)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorContains(t, err, "default bind")
	}
	attempts := len(fakeCalls(t.Name()))
	require.Positive(t, attempts)
	require.LessOrEqual(t, attempts, 1+int(time.Since(start)/echobun.RefusalLife))
}

// TestRefusalIsForgotten starts a server after it was missed.
func TestRefusalIsForgotten(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *dbtest.Server{"PostgreSQL": dbtest.StartPostgres, "MariaDB": dbtest.StartMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			x := newExtension(t, echobun.Config{DatabaseURI: server.URL()})
			ctx, s := newSession(t, x)
			server.Kill()
			_, err := s.NewRaw("SELECT 1").Exec(ctx)
			require.ErrorIs(t, err, echobun.ErrUnavailable)
			require.ErrorContains(t, err, server.Addr())

			server.Start()
			time.Sleep(echobun.RefusalLife) // As long as it may be remembered.
			_, err = s.NewRaw("SELECT 1").Exec(ctx)
			require.NoError(t, err)
		})
	}
}
