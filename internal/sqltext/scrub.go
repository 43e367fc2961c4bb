package sqltext

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// Scrub replaces every literal in a statement with a question mark. Bun
// leaves arguments out of most templates, but writes the keys of related rows
// into the queries of has-many and many-to-many relations.
//
// The dialects differ: in MySQL a double quote begins a string and not a name,
// and a backslash in a string escapes what follows.
func Scrub(statement string, d sqlwords.Dialect) string {
	var b strings.Builder
	b.Grow(len(statement))
	for i := 0; i < len(statement); {
		if end := comment(statement, i, d); end > i {
			b.WriteByte(' ')
			i = end
			continue
		}
		end, literal := token(statement, i, d)
		if literal {
			b.WriteByte('?')
		} else {
			b.WriteString(statement[i:end])
		}
		i = end
	}
	if b.Len() < b.Cap()/2 {
		return strings.Clone(b.String()) // Literals may be all but a little of it, and it may be kept.
	}
	return b.String()
}

// comment returns the end of the comment at i, or i if there is none. What is
// in it may be anything, so it is left out.
func comment(s string, i int, d sqlwords.Dialect) int {
	switch {
	case strings.HasPrefix(s[i:], "/*"):
		return block(s, i, d == sqlwords.Postgres)
	case d.LineComment(s[i:]):
		return i + d.LineEnd(s[i:])
	}
	return i
}

// block returns the end of the block comment at i. PostgreSQL's can have others
// inside.
func block(s string, i int, nests bool) int {
	depth := 1
	for i += 2; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "*/"):
			i += 2
			if depth--; depth == 0 {
				return i
			}
		case nests && strings.HasPrefix(s[i:], "/*"):
			i += 2
			depth++
		default:
			i++
		}
	}
	return len(s)
}

// past returns where the first end is over that s has from i on, or where s is.
func past(s string, i int, end string) int {
	if n := strings.Index(s[i:], end); n >= 0 {
		return i + n + len(end)
	}
	return len(s)
}

// token returns where the token that begins at i ends, and whether it is a
// literal.
func token(s string, i int, d sqlwords.Dialect) (end int, literal bool) {
	mysql := d == sqlwords.MySQL
	c := s[i]
	switch {
	case c == '\'':
		return quoted(s, i, mysql), true
	case c == '"':
		return quoted(s, i, mysql), mysql
	case c == '`':
		return quoted(s, i, false), false
	case isDigit(c):
		return number(s, i), true
	case c == '$' && dollarTag(s, i) != "":
		return dollarQuoted(s, i), true
	case isLetter(c) || c >= 0x80:
		return word(s, i, d)
	}
	return i + 1, false
}

// quoted returns the end of what the quote at i begins. A doubled quote does
// not end it, nor, with escapes, does one behind a backslash.
func quoted(s string, i int, escapes bool) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

func number(s string, i int) int {
	for i < len(s) && (isDigit(s[i]) || isLetter(s[i]) || s[i] == '.') {
		i++
	}
	return i
}

// word returns the end of the word at i. A word that stands before a quote,
// as in X'00', is part of the literal; in PostgreSQL's E'\n' it brings escapes.
func word(s string, i int, d sqlwords.Dialect) (end int, literal bool) {
	for end = i; end < len(s) && (isLetter(s[end]) || isDigit(s[end]) || s[end] == '$' || s[end] >= 0x80); {
		end++
	}
	if end == len(s) || s[end] != '\'' {
		return end, false
	}
	if d != sqlwords.Postgres || s[i:end] != "E" && s[i:end] != "e" {
		return quoted(s, end, d == sqlwords.MySQL), true
	}
	end = quoted(s, end, true)
	for more := sqlwords.Continued(s[end:]); more >= 0; more = sqlwords.Continued(s[end:]) {
		end = quoted(s, end+more, true)
	}
	return end, true
}

// dollarTag returns the tag of a dollar-quoted string that begins at i, with
// its dollars, or "".
func dollarTag(s string, i int) string {
	end := i + 1
	for end < len(s) && (isLetter(s[end]) || isDigit(s[end]) || s[end] >= 0x80) {
		end++
	}
	if end < len(s) && s[end] == '$' {
		return s[i : end+1]
	}
	return ""
}

func dollarQuoted(s string, i int) int {
	tag := dollarTag(s, i)
	return past(s, i+len(tag), tag)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
