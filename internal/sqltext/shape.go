package sqltext

import (
	"bytes"
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// Shape makes a scrubbed statement the same for any number of rows and of
// values in a list, and whichever of them are null, true, negative or left to
// the database: (?, ?), (?, ?) is (?, ?), and IN (?, ?) is IN (?).
func Shape(scrubbed string) string {
	s := shaper{out: make([]byte, 0, min(len(scrubbed), 512)), open: []bracket{{}}}
	for i := 0; i < len(scrubbed); {
		i = s.token(scrubbed, i)
	}
	return string(s.out)
}

// A shaper writes a statement's shape.
type shaper struct {
	out  []byte
	open []bracket // The statement, and the brackets that are open in it.
}

// A bracket is where one was opened, and where the last one inside of it is
// that was closed: a row, maybe.
type bracket struct{ start, row, end int }

// token writes the token at i, and returns where it ends.
func (s *shaper) token(text string, i int) int {
	switch c := text[i]; {
	case c == '"' || c == '`':
		end := quoted(text, i, false)
		s.out = append(s.out, text[i:end]...)
		return end
	case isLetter(c) || c >= 0x80:
		end, _ := word(text, i, sqlwords.Postgres)
		s.word(text[i:end])
		return end
	case c == '-' && strings.HasPrefix(text[i+1:], "?") && s.isValue():
	case c == '(':
		s.open = append(s.open, bracket{start: len(s.out)})
		s.out = append(s.out, c)
	case c == ')' && len(s.open) > 1:
		s.out = append(s.out, c)
		s.close()
	default:
		s.out = append(s.out, c)
	}
	return i + 1
}

// word writes a word, as a placeholder if it is a value.
func (s *shaper) word(w string) {
	if sqlwords.Is(w, "null", "true", "false", "default") && s.isValue() {
		s.out = append(s.out, '?')
		return
	}
	s.out = append(s.out, w...)
}

// isValue reports whether a value may come next.
func (s *shaper) isValue() bool {
	before := bytes.TrimRight(s.out, " ")
	return len(before) > 0 && strings.IndexByte("(,=<>", before[len(before)-1]) >= 0
}

// close takes what was written since the last bracket was opened together with
// what it repeats.
func (s *shaper) close() {
	last := len(s.open) - 1
	start := s.open[last].start
	s.open = s.open[:last]
	before := &s.open[last-1]
	text := bytes.TrimRight(s.out[:start], " ")
	if isIn(text) && len(bytes.Trim(s.out[start:], "(?, )")) == 0 && !bytes.Contains(s.out[start+1:], []byte("(")) {
		s.out = append(s.out[:start], "(?)"...)
		return
	}
	if bytes.HasSuffix(text, []byte("ROW")) {
		start = len(text) - len("ROW")
	}
	follows := string(bytes.TrimSpace(s.out[before.end:start])) == ","
	if follows && bytes.Equal(s.out[before.row:before.end], s.out[start:]) {
		s.out = s.out[:before.end]
		return
	}
	before.row, before.end = start, len(s.out)
}

// isIn reports whether text ends with the word IN.
func isIn(text []byte) bool {
	n := len(text)
	return n > 2 && sqlwords.Is(string(text[n-2:]), "in") && !isLetter(text[n-3])
}
