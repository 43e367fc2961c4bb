// Package sqlwords reads the words of a statement, as far as a driver has to
// know what it does before it is sent. It is no parser: it tells words from
// quoted text and comments, and statements from each other.
package sqlwords

import "strings"

// A Dialect is how a database writes text and comments.
type Dialect int

// The dialects. SQLite's driver has a scanner of its own, which tells more.
const (
	Postgres Dialect = iota
	MySQL
	SQLite
)

// A Scanner takes words off the beginning of a text.
type Scanner struct {
	Dialect Dialect
	rest    string
	quoted  bool
	inside  bool // What MySQL executes in a comment.
}

// Scan returns a scanner of a text.
func (d Dialect) Scan(text string) Scanner { return Scanner{Dialect: d, rest: text} }

// Next takes the next word or sign. A word comes as it is written, so does the
// name inside of quotes; any other character comes by itself. A string
// constant is "'". It is empty at the end.
func (s *Scanner) Next() string {
	s.trim()
	s.quoted = false
	if s.rest == "" {
		return ""
	}
	switch c := s.rest[0]; {
	case c == '\'':
		s.constant(c, s.Dialect == MySQL)
		return "'"
	case c == '"' && s.Dialect == MySQL:
		// A name with ANSI_QUOTES. A backslash in one is rare.
		s.quoted = true
		return named(s.constant(c, true))
	case c == '"', c == '`':
		s.quoted = true
		return named(s.constant(c, false))
	case c == '[' && s.Dialect == SQLite:
		s.quoted = true
		return named(s.constant(']', false))
	case c == '$' && s.Dialect == Postgres:
		if s.dollars() {
			return "'"
		}
	case inWord(c):
		return s.word()
	}
	return s.take(1)
}

// Peek is Next without taking it.
func (s *Scanner) Peek() string {
	ahead := *s
	return ahead.Next()
}

// Quoted reports whether what Next has taken last was a name in quotes.
func (s *Scanner) Quoted() bool { return s.quoted }

// Rest is what has not been taken.
func (s *Scanner) Rest() string { return s.rest }

// named keeps an empty name from looking like the end.
func named(name string) string {
	if name == "" {
		return "'"
	}
	return name
}

// word takes a bare word. An E right before a constant of PostgreSQL's belongs
// to it, and makes a backslash in it escape.
func (s *Scanner) word() string {
	n := 1
	for n < len(s.rest) && (inWord(s.rest[n]) || s.rest[n] == '$') {
		n++
	}
	w := s.take(n)
	if s.Dialect == Postgres && (w == "E" || w == "e") && strings.HasPrefix(s.rest, "'") {
		s.constant('\'', true)
		for more := Continued(s.rest); more >= 0; more = Continued(s.rest) {
			s.take(more)
			s.constant('\'', true)
		}
		return "'"
	}
	return w
}

// Continued returns where a constant of PostgreSQL's goes on behind its closing
// quote, or -1: a quote on another line is still of the same kind.
func Continued(text string) int {
	line := false
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\'' && line:
			return i
		case strings.HasPrefix(text[i:], "--"):
			i += Postgres.LineEnd(text[i:])
			line = true
		case c == ' ' || '\t' <= c && c <= '\r':
			line = line || c == '\n' || c == '\r'
			i++
		default:
			return -1
		}
	}
	return -1
}

// constant takes what is in quotes, in which a doubled quote stands for one,
// and returns it without them.
func (s *Scanner) constant(quote byte, backslashes bool) string {
	text := s.rest[1:]
	for i := 0; i < len(text); i++ {
		if !backslashes {
			end := strings.IndexByte(text[i:], quote)
			if end < 0 {
				break
			}
			i += end
		}
		switch {
		case text[i] == '\\' && backslashes:
			i++ // The next character is taken with it, whatever it is.
		case text[i] != quote:
		case i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			s.rest = text[i+1:]
			return text[:i]
		}
	}
	s.rest = ""
	return text
}

// dollars takes a constant between dollar signs, $$ or $tag$.
func (s *Scanner) dollars() bool {
	n := 1
	for n < len(s.rest) && inWord(s.rest[n]) {
		n++
	}
	if n == len(s.rest) || s.rest[n] != '$' || n > 1 && '0' <= s.rest[1] && s.rest[1] <= '9' {
		return false
	}
	tag := s.take(n + 1)
	_, s.rest, _ = strings.Cut(s.rest, tag)
	return true
}

// byteOrder is a mark that SQLite takes for white space, wherever it stands.
const byteOrder = "\ufeff"

// trim takes white space and comments off the beginning. What MySQL executes
// in a comment, behind a version, is no comment.
func (s *Scanner) trim() {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n\f\v")
		if s.Dialect == SQLite && strings.HasPrefix(s.rest, byteOrder) {
			s.rest = s.rest[len(byteOrder):]
			continue
		}
		switch {
		case s.Dialect.LineComment(s.rest):
			s.rest = s.rest[s.Dialect.LineEnd(s.rest):]
		case s.Dialect == MySQL && (strings.HasPrefix(s.rest, "/*!") || strings.HasPrefix(s.rest, "/*M!")):
			_, s.rest, _ = strings.Cut(s.rest, "!")
			s.rest = strings.TrimLeft(s.rest, "0123456789")
			s.inside = true
		case s.inside && strings.HasPrefix(s.rest, "*/"):
			s.rest = s.rest[2:]
			s.inside = false
		case strings.HasPrefix(s.rest, "/*"):
			s.comment()
		default:
			return
		}
	}
}

// LineComment reports whether text begins with a comment that ends with its
// line. In MySQL 5--1 is 6: dashes begin one only before white space or a
// control character there, or at the end.
func (d Dialect) LineComment(text string) bool {
	if d == MySQL && strings.HasPrefix(text, "#") {
		return true
	}
	text, dashes := strings.CutPrefix(text, "--")
	return dashes && (d != MySQL || text == "" || text[0] <= ' ' || text[0] == 0x7f)
}

// LineEnd returns where a line of text ends, for a comment in it. To PostgreSQL
// a carriage return is the end as well.
func (d Dialect) LineEnd(text string) int {
	end := strings.IndexByte(text, '\n')
	if d == Postgres {
		end = strings.IndexAny(text, "\r\n")
	}
	if end < 0 {
		return len(text)
	}
	return end + 1
}

// comment takes a comment. PostgreSQL's can have others inside.
func (s *Scanner) comment() {
	s.rest = s.rest[2:]
	for depth := 1; depth > 0; {
		end := strings.Index(s.rest, "*/")
		if end < 0 {
			s.rest = ""
			return
		}
		if begin := strings.Index(s.rest[:end+1], "/*"); begin >= 0 && s.Dialect == Postgres { // Also that of "/*/".
			s.rest = s.rest[begin+2:]
			depth++
			continue
		}
		s.rest = s.rest[end+2:]
		depth--
	}
}

func (s *Scanner) take(n int) string {
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func inWord(c byte) bool {
	return c == '_' || c >= 0x80 || 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

// Is reports whether word is one of the keywords, which are in lower case.
func Is(word string, keywords ...string) bool {
	for _, k := range keywords {
		if len(word) == len(k) && strings.EqualFold(word, k) {
			return true
		}
	}
	return false
}

// Around reports whether text has before, an underscore, and after in a row,
// in any case. It is fast where there are few underscores, and sees quoted
// text too: it is to find out whether a closer look is worth its while.
func Around(text, before string, after ...string) bool {
	for at := 0; ; at++ {
		next := strings.IndexByte(text[at:], '_')
		if next < 0 {
			return false
		}
		at += next
		if at < len(before) || !strings.EqualFold(text[at-len(before):at], before) {
			continue
		}
		for _, a := range after {
			if rest := text[at+1:]; len(rest) >= len(a) && strings.EqualFold(rest[:len(a)], a) {
				return true
			}
		}
	}
}
