package sqltext

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// A Reply is what the rows that a statement returns may be of.
type Reply int

// The kinds of replies.
const (
	OfRead  Reply = iota // Of what writes nothing, as far as its text tells.
	OfCalls              // Of a query that calls a function, which may write.
	OfWrite              // In doubt, of a statement that writes.
)

// ReplyOf tells what the rows of a statement are of. Those of one that writes are
// not all of its answer: it may still fail behind the first of them. What a
// view, an operator or a trigger calls is not seen. On SQLite no function writes.
func ReplyOf(d sqlwords.Dialect, query string) Reply {
	s := d.Scan(query)
	first := s.Next()
	for first == "(" || first == ";" {
		first = s.Next()
	}
	switch {
	case first == "", sqlwords.Is(first, "show", "describe", "desc", "fetch", "pragma"):
		return OfRead
	case sqlwords.Is(first, "with"):
		return replyOfQuery(first, s)
	case !sqlwords.Is(first, "select", "values", "table") && (d != sqlwords.MySQL || !sqlwords.Is(first, "do")):
		return OfWrite
	case isScript(query), d != sqlwords.SQLite && mayCall(d, s.Rest()):
		return replyOfQuery(first, s)
	}
	return OfRead
}

// mayCall finds most queries that call nothing quickly, by the words before
// their brackets. It also sees those in constants and comments.
func mayCall(d sqlwords.Dialect, text string) bool {
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '(')
		if i < 0 {
			return false
		}
		i += from
		from = i + 1
		end := i
		for end > 0 && (text[end-1] == ' ' || text[end-1] == '\t') {
			end--
		}
		start := end
		for start > 0 && inName(text[start-1]) {
			start--
		}
		switch {
		case end == 0:
		case start == end:
			if strings.IndexByte("\"`/!\n\r\f\v", text[end-1]) >= 0 { // A quoted name, or a comment in between.
				return true
			}
		case start > 0 && text[start-1] == '.', !isHarmless(d, text[start:end], end < i):
			return true
		}
	}
}

func inName(c byte) bool { return isLetter(c) || isDigit(c) || c == '$' || c >= 0x80 }

// A part is a word or a sign of a query.
type part struct {
	text   string
	quoted bool
	space  bool // There is something between it and the next one.
}

// replyOfQuery reads what follows the first word of a query, which can have
// statements that write in its WITH, or behind it.
func replyOfQuery(first string, s sqlwords.Scanner) Reply {
	reply, with := OfRead, sqlwords.Is(first, "with")
	before, last := part{}, part{text: first}
	for word := s.Next(); word != ""; word = s.Next() {
		next := part{word, s.Quoted(), !strings.HasPrefix(s.Rest(), "(")}
		switch {
		case next.quoted:
		case word == ";":
			if !isEnd(s) {
				return OfWrite
			}
		case with && writes(last.text, next):
			return OfWrite
		case word == "(" && s.Dialect != sqlwords.SQLite && calls(s.Dialect, before, last):
			reply = OfCalls
		}
		before, last = last, next
	}
	return reply
}

// isEnd reports whether nothing but semicolons follows.
func isEnd(s sqlwords.Scanner) bool {
	for word := s.Next(); word != ""; word = s.Next() {
		if word != ";" {
			return false
		}
	}
	return true
}

// writes reports whether a word behind another begins a statement that writes.
// Not so FOR UPDATE, and the function replace.
func writes(before string, word part) bool {
	switch {
	case sqlwords.Is(word.text, "insert", "replace"):
		return word.space
	case sqlwords.Is(word.text, "delete", "merge"):
		return true
	}
	return sqlwords.Is(word.text, "update") && !sqlwords.Is(before, "for", "key")
}

// calls reports whether a bracket calls a function that may write, by the two
// words before it. Brackets behind a name that is given have its columns.
func calls(d sqlwords.Dialect, before, last part) bool {
	switch {
	case last.text == "" || !last.quoted && !inName(last.text[0]):
		return false
	case before.text == "." && !before.quoted:
		return true
	case !before.quoted && sqlwords.Is(before.text, "as", "with", "recursive"):
		return false
	}
	return last.quoted || !isHarmless(d, last.text, last.space)
}
