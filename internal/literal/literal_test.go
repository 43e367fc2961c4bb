package literal_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/literal"
)

func TestAppendString(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a", "'", "''", "'a", "a'", "it's \\ \"so\"", "'a''b'", "\x00\xff'ü", strings.Repeat("x'", 100)} {
		want := "= '" + strings.ReplaceAll(s, "'", "''") + "'"
		require.Equal(t, want, string(literal.AppendString([]byte("= "), s)))
		require.Equal(t, want, string(literal.AppendString(append(make([]byte, 0, 1000), "= "...), []byte(s))))
	}
}

func TestAppendStringAllocatesNothing(t *testing.T) { //nolint:paralleltest // It counts allocations.
	b := make([]byte, 0, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() { literal.AppendString(b, "it's what's plain") }))
}
