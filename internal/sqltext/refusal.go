package sqltext

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// refusalMark is what Bun's dialect.AppendError begins with.
const refusalMark = "?!("

// longestReason bounds the text of a refusal, whose end cannot always be told.
const longestReason = 300

// Refusal returns what stands in a statement in place of a value that Bun or a
// dialect refused to write. In a literal it is a value like any other.
//
// The dialects differ: see [Scrub].
func Refusal(statement string, d sqlwords.Dialect) (reason string, refused bool) {
	if !strings.Contains(statement, refusalMark) {
		return "", false
	}
	for i := 0; i < len(statement); {
		if strings.HasPrefix(statement[i:], refusalMark) {
			return inBrackets(statement[i+len(refusalMark):]), true
		}
		end := comment(statement, i, d)
		if end == i {
			end, _ = token(statement, i, d)
		}
		i = end
	}
	return "", false
}

// inBrackets returns what comes before the bracket that closes an open one.
func inBrackets(s string) string {
	s = s[:min(len(s), longestReason)]
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return s[:i]
		}
	}
	return strings.ToValidUTF8(s, "")
}
