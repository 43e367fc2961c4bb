package programs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// TestCallerBelowTheLibrary is for an application whose path begins as the
// library's own.
func TestCallerBelowTheLibrary(t *testing.T) {
	t.Parallel()
	x, err := echobun.New(echobun.Config{DatabaseURI: "sqlite://", RecordQueries: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, x.Close()) }()
	ctx, end := x.AppContext(t.Context())
	defer end()
	s, err := x.Session(ctx)
	require.NoError(t, err)
	_, err = s.NewRaw("SELECT 1").Exec(ctx)
	require.NoError(t, err)
	records, _ := s.Queries()
	require.Len(t, records, 1)
	require.Regexp(t, `/caller_test\.go:\d+$`, records[0].Caller)
}
