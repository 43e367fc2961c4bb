// Package literal writes values into statements.
package literal

import "bytes"

// AppendString appends a string literal in which the quote is the only character
// that has a meaning: it is doubled.
func AppendString[T string | []byte](b []byte, s T) []byte {
	start := len(b) + 1
	b = append(append(b, '\''), s...)
	end, quotes := len(b), bytes.Count(b[start:], []byte{'\''})
	for range quotes {
		b = append(b, 0)
	}
	for to, from := len(b), end; to > from; { // From the end on, until there is no quote before.
		to, from = to-1, from-1
		b[to] = b[from]
		if b[from] == '\'' {
			to--
			b[to] = '\''
		}
	}
	return append(b, '\'')
}
