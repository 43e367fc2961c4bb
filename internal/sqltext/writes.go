package sqltext

import "strings"

// ReturnsOfWrite reports whether the rows of a statement may come from one that
// writes, so that they are not all of its answer: it may still fail behind the
// first of them. It is in doubt true, but for what returns many rows.
func ReturnsOfWrite(query string) bool {
	switch word, rest := cutWord(query); word {
	case "SELECT":
		return callsAlone(rest)
	case "WITH":
		return contains(rest, "INSERT") || contains(rest, "UPDATE") || contains(rest, "DELETE") ||
			contains(rest, "MERGE") || contains(rest, "REPLACE")
	case "VALUES", "TABLE", "SHOW", "DESCRIBE", "DESC", "FETCH", "PRAGMA", "":
		return false
	}
	return true
}

// callsAlone reports whether a SELECT only calls functions, which may write:
// "SELECT f(1)".
func callsAlone(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\n")
	end := 0
	for end < len(rest) && (isLetter(rest[end]) || isDigit(rest[end]) || rest[end] == '.') {
		end++
	}
	return end > 0 && end < len(rest) && rest[end] == '(' && !contains(rest[end:], "FROM")
}

// contains reports whether text has the word, which is in upper case, in any
// case and anywhere, but not as a part of another: updated_at is no UPDATE.
func contains(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]&^0x20 == word[0] && strings.EqualFold(text[i:i+len(word)], word) && isWhole(text, i, i+len(word)) {
			return true
		}
	}
	return false
}

// isWhole reports whether no letter or digit is next to what is between start
// and end.
func isWhole(text string, start, end int) bool {
	partOfWord := func(i int) bool { return i >= 0 && i < len(text) && (isLetter(text[i]) || isDigit(text[i])) }
	return !partOfWord(start-1) && !partOfWord(end)
}
