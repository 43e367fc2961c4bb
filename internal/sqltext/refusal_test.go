package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, statement, want string
		refused, mysql        bool
	}{
		{name: "empty"},
		{name: "none", statement: `INSERT INTO t VALUES ('a', 1)`},
		{name: "Bun's", statement: `INSERT INTO t VALUES (?!(bun: string contains a NUL byte (0x00)), 1)`, want: "bun: string contains a NUL byte (0x00)", refused: true},
		{name: "in a literal", statement: `INSERT INTO t VALUES ('?!(x)', E'\'?!(x)')`},
		{name: "in a name", statement: `SELECT "?!(x)" FROM t`},
		{name: "in a comment", statement: "SELECT 1 /* ?!(x) */ -- ?!(x)\n"},
		{name: "behind a literal that has one", statement: `UPDATE t SET a = '?!(x)', b = ?!(y)`, want: "y", refused: true},
		{name: "MySQL: behind an escaped quote", statement: `SELECT '\'?!(x)'`, mysql: true},
		{name: "MySQL", statement: "UPDATE `?!(x)` SET a = \"?!(x)\", b = ?!(y)", want: "y", refused: true, mysql: true},
		{name: "no end", statement: "SELECT ?!(" + strings.Repeat("(", 1000), want: strings.Repeat("(", 300), refused: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			reason, refused := sqltext.Refusal(tc.statement, words(tc.mysql))
			require.Equal(t, tc.refused, refused)
			require.Equal(t, tc.want, reason)
		})
	}
}
