package echobun

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// timings are how long the statements of an app context took, by the index of
// their engine. They are safe for concurrent use.
type timings struct {
	engines []*engine // By index.
	binds   []bindTiming
}

type bindTiming struct {
	statements atomic.Int64
	total      atomic.Int64 // Nanoseconds.
}

func newTimings(x *Extension) *timings {
	t := &timings{engines: make([]*engine, len(x.engines)), binds: make([]bindTiming, len(x.engines))}
	for _, e := range x.engines {
		t.engines[e.index] = e
	}
	return t
}

// timed adds a statement that began at start, if anybody wants to know.
func (a *appContext) timed(e *engine, start time.Time) {
	if t := a.timings.Load(); t != nil && !start.IsZero() {
		t.binds[e.index].statements.Add(1)
		t.binds[e.index].total.Add(int64(time.Since(start)))
	}
}

// clock returns the time, or the zero time if nobody wants to know.
func (a *appContext) clock() time.Time {
	if a.timings.Load() == nil {
		return time.Time{}
	}
	return time.Now()
}

// header is the value of a Server-Timing header, with an entry for each bind
// that was used.
func (t *timings) header() string {
	var entries []string
	for i := range t.binds {
		n := t.binds[i].statements.Load()
		if n == 0 {
			continue
		}
		ms := float64(t.binds[i].total.Load()) / float64(time.Millisecond)
		entries = append(entries, fmt.Sprintf(`%s;desc="%s";dur=%.3f`, timingName(t.engines[i].key), statementsText(n), ms))
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
	if key == DefaultBind {
		return "db"
	}
	return "db." + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, key)
}
