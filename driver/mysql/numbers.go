package mysql

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// maxDigits is how many digits a DECIMAL can have.
const maxDigits = 65

// withExponents gives the numbers of a statement that have more digits than a
// DECIMAL an exponent. Bun writes a float without one, so that the server would
// take 1e100 or 1e-70 for a DECIMAL: it makes them too small, 0, or an error.
// Nothing else writes so long a number.
func withExponents(query string) string {
	if !hasLongNumber(query) || strings.IndexByte(query, '\\') >= 0 {
		return query // With a backslash nobody can tell where a string ends: that depends on the sql_mode.
	}
	var b strings.Builder
	done := 0
	for s := sqlwords.MySQL.Scan(query); ; {
		word := s.Next()
		if word == "" {
			break
		}
		at := len(query) - len(s.Rest())
		if !isNumber(word) || query[at-1] != word[len(word)-1] { // In quotes it is a name.
			continue
		}
		digits := len(word) + fraction(&s)
		if end := len(query) - len(s.Rest()); digits > maxDigits && !continues(s.Rest()) {
			b.WriteString(query[done:end])
			b.WriteString("e0")
			done = end
		}
	}
	b.WriteString(query[done:])
	return b.String()
}

// fraction takes what stands behind the point of a number, if it has one, and
// returns how many digits that is.
func fraction(s *sqlwords.Scanner) int {
	if !strings.HasPrefix(s.Rest(), ".") {
		return 0
	}
	s.Next()
	if word := s.Peek(); strings.HasPrefix(s.Rest(), word) && isNumber(word) {
		s.Next()
		return len(word)
	}
	return 0
}

// continues reports whether what follows a number belongs to it, an exponent say.
func continues(rest string) bool {
	return rest != "" && (rest[0] == '.' || rest[0] == '_' || rest[0] >= 0x80 || 'a' <= rest[0]|0x20 && rest[0]|0x20 <= 'z')
}

func isNumber(word string) bool {
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return false
		}
	}
	return word != ""
}

// hasLongNumber reports whether more digits than a DECIMAL has follow each
// other, in a string or outside. It looks at few characters of a statement.
func hasLongNumber(query string) bool {
	for i := maxDigits; i < len(query); {
		if !inNumber(query[i]) {
			i += maxDigits + 1
			continue
		}
		start, end := i, i+1
		for start > 0 && inNumber(query[start-1]) {
			start--
		}
		for end < len(query) && inNumber(query[end]) {
			end++
		}
		if end-start > maxDigits {
			return true
		}
		i = end + maxDigits
	}
	return false
}

func inNumber(c byte) bool { return '0' <= c && c <= '9' || c == '.' }
