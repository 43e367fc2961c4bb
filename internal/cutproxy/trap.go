package cutproxy

import "bytes"

// maxMarker is the longest marker that is found over two reads.
const maxMarker = 1 << 10

// A trap is what a [Proxy] waits for. The zero value never falls.
type trap struct {
	mode    Mode
	markers [][]byte // In lower case.
	left    int      // How many times it falls; negative means always.
}

func newTrap(n int, m Mode, markers []string) trap {
	t := trap{mode: m, left: n}
	for _, s := range markers {
		if s == "" || len(s) > maxMarker {
			panic("cutproxy: a marker has 1 to 1024 bytes")
		}
		t.markers = append(t.markers, lower([]byte(s)))
	}
	if len(t.markers) == 0 {
		panic("cutproxy: a trap needs a marker")
	}
	return t
}

// A scanner looks for markers in a stream that arrives in pieces. It
// remembers the end of what it saw, so that a marker split over two reads is
// found.
type scanner struct{ tail []byte }

// contains reports whether one of markers ends in b, the next piece of the
// stream.
func (s *scanner) contains(markers [][]byte, b []byte) bool {
	seen := append(s.tail, lower(b)...)
	before := len(s.tail)
	s.tail = bytes.Clone(seen[max(0, len(seen)-maxMarker):])
	for _, m := range markers {
		// Only with the bytes that could begin it: a marker that went by
		// before the trap was set must not make it fall now.
		if bytes.Contains(seen[max(0, before-len(m)+1):], m) {
			return true
		}
	}
	return false
}

// lower returns a copy of b with ASCII letters in lower case. The bytes are a
// binary protocol's: [bytes.ToLower] would take them for UTF-8.
func lower(b []byte) []byte {
	l := bytes.Clone(b)
	for i, c := range l {
		if 'A' <= c && c <= 'Z' {
			l[i] = c + 'a' - 'A'
		}
	}
	return l
}
