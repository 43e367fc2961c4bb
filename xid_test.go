package echobun_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

func TestXID(t *testing.T) {
	t.Parallel()
	allowed := regexp.MustCompile(`^[a-zA-Z0-9/._~@-]{1,128}$`)
	names := []string{"", "auth", "a/b", "it's", "naïve", strings.Repeat("x", 24), strings.Repeat("x", 25), strings.Repeat("x", 400), "~"}
	seen := map[string]bool{}
	for _, app := range names {
		for _, home := range names {
			for _, bind := range names {
				id := echobun.XID(app, echobun.NewTxID(), home, bind)
				require.Regexp(t, allowed, id)
				require.Len(t, strings.Split(id, "/"), 5)
				parts := strings.Split(id, "/")
				seen[parts[4]] = true
			}
		}
	}
	require.Len(t, seen, len(names), "different names stay different")
	require.NotEqual(t, echobun.NewTxID(), echobun.NewTxID())
}

func TestReadmePrintsTheTable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), echobun.CommitLogDDL)
}
