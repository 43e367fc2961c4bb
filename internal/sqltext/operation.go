package sqltext

import "strings"

// Operation names what a statement does by its first word, or the first two
// where one says little: "SELECT", "CREATE TABLE". It is no part of the query,
// which an error that is kept would keep.
func Operation(query string) string {
	first, rest := cutWord(query)
	switch first {
	case "CREATE", "DROP", "ALTER", "TRUNCATE", "START", "PREPARE", "COMMIT", "ROLLBACK", "RELEASE", "XA":
		if second, _ := cutWord(rest); second != "" {
			return first + " " + second
		}
	case "":
		return "statement"
	}
	return strings.Clone(first)
}

// cutWord returns the first word of query in upper case and what follows it.
// Comments and brackets before it do not count.
func cutWord(query string) (word, rest string) {
	for {
		query = strings.TrimLeft(query, " \t\r\n\f\v(;")
		switch {
		case strings.HasPrefix(query, "/*"):
			_, after, found := strings.Cut(query[2:], "*/")
			if !found {
				return "", ""
			}
			query = after
		case strings.HasPrefix(query, "--"), strings.HasPrefix(query, "#"):
			_, query, _ = strings.Cut(query, "\n")
		default:
			end := 0
			for end < len(query) && end < 16 && isLetter(query[end]) {
				end++
			}
			return strings.ToUpper(query[:end]), query[end:]
		}
	}
}
