package response

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Timings are how long the statements of a request took, by the index of
// their engine. They are safe for concurrent use.
type Timings struct {
	keys  []string // By index.
	binds []bindTiming
}

type bindTiming struct {
	statements atomic.Int64
	total      atomic.Int64 // Nanoseconds.
}

// NewTimings returns timings of binds with these keys, by index.
func NewTimings(keys []string) *Timings {
	return &Timings{keys: keys, binds: make([]bindTiming, len(keys))}
}

// Add counts a statement of the bind with an index.
func (t *Timings) Add(index int, took time.Duration) {
	t.binds[index].statements.Add(1)
	t.binds[index].total.Add(int64(took))
}

// header is the value of a Server-Timing header, with an entry for each bind
// that was used.
func (t *Timings) header() string {
	var entries []string
	for i := range t.binds {
		n := t.binds[i].statements.Load()
		if n == 0 {
			continue
		}
		ms := float64(t.binds[i].total.Load()) / float64(time.Millisecond)
		entries = append(entries, fmt.Sprintf(`%s;desc="%s";dur=%.3f`, timingName(t.keys[i]), statementsText(n), ms))
	}
	return strings.Join(entries, ", ")
}

func statementsText(n int64) string {
	if n == 1 {
		return "1 statement"
	}
	return fmt.Sprintf("%d statements", n)
}

// timingName makes a bind key the token that an entry has to begin with: "db"
// for the default bind, "db.auth" for "auth".
func timingName(key string) string {
	if key == "" {
		return "db"
	}
	return "db." + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, key)
}
