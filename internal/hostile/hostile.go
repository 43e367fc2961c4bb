// Package hostile makes up text that wants to be more than text, for tests.
package hostile

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// SeedVariable is the environment variable that makes a test repeat itself.
const SeedVariable = "ECHOBUN_SEED"

// fragments are what the payloads are made of: ways out of quotes on some
// database, look-alikes of them, and what to do then.
var fragments = []string{
	"'", "''", `"`, `""`, "`", "``", `\`, `\\`, `\'`, `\"`, "\x00", "\n", "\r\n", "\t", "\x1a", "\b", "\u2028", "\ufeff", "\u202e",
	";", ";;", "--", "-- ", "#", "/*", "*/", "/*!50000", "$$", "$a$", "E'", "X'", "N'", "_utf8'", "%", "%%", "%s", "%00", "%27", "{}", "?", "?0",
	"?TableName", "??", "$1", ":a", "@a", "@@version", "||", "(", ")", ",", ".", "=", "\\x27", "\\u0027", "0x27", "[", "]",
	"’", "‘", "ʼ", "＇", "´", "′", "＂", "“", "｀", "；", "‐‐", "＼", "ſ", "K", "İ", "ı", "а", "е", "ѕ", "ａ", "é", "e\u0301", "表", "能", "縗", "😀", "\U0010ffff",
	" OR 1 = 1", " AND ", " UNION SELECT ", "DROP TABLE canary", "DELETE FROM canary", "INSERT INTO canary VALUES (2)", "UPDATE canary SET id = 2",
	"COMMIT", "ROLLBACK", "SET x = 1", "canary", "select", "NULL", "true", "", " ", "a", "B9", "_",
	"host=evil.example", "&host=evil.example", "?host=evil.example", "@evil.example/", "@tcp(evil.example:1)/", "evil.example", "//", "/", "/../",
	"sslmode=disable", "&sslmode=disable", "tls=skip-verify", "&tls=false", "allowAllFiles=true", "&allowAllFiles=true", "options=-c standard_conforming_strings=off",
	"sslrootcert=/etc/passwd", "passfile=/etc/passwd", "service=x", "unix_socket=/tmp/x", "mode=memory", "&vfs=memdb", "file:", "uri=true", "_pragma=x(1)",
}

// Number is how many payloads a test takes: 3,000 in its long form, with
// ECHOBUN_LONG in the environment, else short.
func Number(short int) int {
	if os.Getenv("ECHOBUN_LONG") != "" {
		return 3000
	}
	return short
}

// Payloads returns n random texts, valid UTF-8 all of them, and says from
// which seed. The last
// two are 1 MiB long, and the very last has no NUL.
func Payloads(tb testing.TB, n int) []string {
	tb.Helper()
	seed := rand.Uint64()
	if given := os.Getenv(SeedVariable); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			tb.Fatalf("%s: %v", SeedVariable, err)
		}
	}
	tb.Logf("%s=%d repeats this test", SeedVariable, seed)
	source := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // A test that can be repeated.
	all := make([]string, n)
	for i := range all {
		length := 1 + source.IntN(8)
		if i >= n-2 {
			length = 1 << 20
		}
		all[i] = payload(source, length, i < n-2)
	}
	all[n-1] = strings.ReplaceAll(all[n-1], "\x00", "")
	return all
}

// payload returns a text of so many fragments, or of so many bytes.
func payload(source *rand.Rand, length int, inFragments bool) string {
	var b strings.Builder
	for n := 0; n < length; {
		fragment := fragments[source.IntN(len(fragments))]
		b.WriteString(fragment)
		if inFragments {
			n++
		} else {
			n += len(fragment)
		}
	}
	return b.String()
}
