package sqlite

import "strings"

// A scanner cuts a text into SQLite's words and signs, without comments.
type scanner struct{ rest string }

// next takes the next word or sign off the text: a bare word, a quoted one as
// its opening quote alone, any other character by itself. It is empty at the
// end.
func (s *scanner) next() string {
	s.trim()
	if s.rest == "" {
		return ""
	}
	n := 1
	switch c := s.rest[0]; {
	case c == '\'', c == '"', c == '`':
		s.quoted(c)
		return string(rune(c))
	case c == '[':
		s.cut(after(s.rest, "]"))
		return "["
	case inWord(c):
		for n < len(s.rest) && inWord(s.rest[n]) {
			n++
		}
	}
	word := s.rest[:n]
	s.cut(n)
	return word
}

// name is next, but of a quoted word it returns what is in the quotes.
func (s *scanner) name() string {
	s.trim()
	before := s.rest
	word := s.next()
	switch word {
	case "'", `"`, "`", "[":
		return strings.Trim(before[:len(before)-len(s.rest)], "'\"`[]")
	}
	return word
}

// peek is next without taking it.
func (s *scanner) peek() string {
	ahead := *s
	return ahead.next()
}

// skip goes past the next semicolon, and reports whether there is one. Most
// texts have none, which shows without reading them word by word.
func (s *scanner) skip() bool {
	if strings.IndexByte(s.rest, ';') < 0 {
		return false
	}
	for {
		switch s.next() {
		case "":
			return false
		case ";":
			return true
		}
	}
}

// trim takes white space and comments off the beginning.
func (s *scanner) trim() {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\n\v\f\r\ufeff")
		switch {
		case strings.HasPrefix(s.rest, "--"):
			s.cut(after(s.rest, "\n"))
		case strings.HasPrefix(s.rest, "/*"):
			s.cut(2)
			s.cut(after(s.rest, "*/"))
		default:
			return
		}
	}
}

// quoted takes a text in quotes, in which a doubled quote stands for one.
func (s *scanner) quoted(quote byte) {
	for {
		s.cut(1)
		end := strings.IndexByte(s.rest, quote)
		if end < 0 {
			s.rest = ""
			return
		}
		s.cut(end + 1)
		if s.rest == "" || s.rest[0] != quote {
			return
		}
	}
}

func (s *scanner) cut(n int) { s.rest = s.rest[n:] }

// after returns the index behind the first mark, which is the end without one.
func after(text, mark string) int {
	if i := strings.Index(text, mark); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 ||
		'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
