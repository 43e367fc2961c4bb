package mysql_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver/mysql"
)

// Only a number that is too long for a DECIMAL gets an exponent.
func TestWithExponents(t *testing.T) {
	t.Parallel()
	long, short := strings.Repeat("7", 66), strings.Repeat("7", 65)
	for query, want := range map[string]string{
		"SELECT " + long:                                    "SELECT " + long + "e0",
		"SELECT -" + long + ", " + long + "":                "SELECT -" + long + "e0, " + long + "e0",
		"SELECT " + short:                                   "",
		"SELECT 0." + short:                                 "SELECT 0." + short + "e0",
		"SELECT 0." + short[1:] + " FROM t":                 "",
		"SELECT " + long + "." + long + ")":                 "SELECT " + long + "." + long + "e0)",
		"SELECT " + long + ".":                              "SELECT " + long + ".e0",
		"SELECT '" + long + "'":                             "",
		"SELECT X'" + long + "', \"" + long + "\"":          "",
		"SELECT `" + long + "`, t" + long:                   "",
		"SELECT " + long + "e5, 1." + long + "E-5":          "",
		"SELECT 0x" + long + ", " + long + "_a":             "",
		"SELECT " + long + "a, " + long + "Z FROM t":        "", // Names that begin with digits.
		"SELECT /* " + long + " */ 1 -- " + long:            "",
		`SELECT 'a\', ` + long + `, '` + long + `'`:         "",
		"SELECT " + strings.Repeat("1.2, ", 100) + "1":      "",
		"SELECT '" + long + "', 5, '" + long + "', " + long: "SELECT '" + long + "', 5, '" + long + "', " + long + "e0",
	} {
		if want == "" {
			want = query
		}
		require.Equal(t, want, mysql.WithExponents(query))
	}
}

// The usual statement costs a look at few of its characters.
func BenchmarkWithExponents(b *testing.B) {
	query := "SELECT `u`.`id`, `u`.`name` FROM `users` AS `u` WHERE (id = 1234567) AND (name = 'somebody')" + strings.Repeat(" ", 400)
	b.ReportAllocs()
	for b.Loop() {
		mysql.WithExponents(query)
	}
}
