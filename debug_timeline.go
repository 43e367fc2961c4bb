package echobun

import (
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultDebugSlow is from when on a statement is slow, if Config.SlowQuery
	// does not say.
	defaultDebugSlow = 100 * time.Millisecond

	// debugRepeats is from how many times on a statement of a request is repeated.
	debugRepeats = 3

	// maxDebugRows is how many statements of a request are shown.
	maxDebugRows = 200

	// The lanes of a request's overview, in pixels.
	laneHeight, laneGap = 6, 2
)

// A debugRequestView is a request as debug.html shows it.
type debugRequestView struct {
	Method, Route, Problem string
	Status                 int
	StatusClass            string // "good", "warn" or "bad".
	Time, Duration, Busy   string // Busy is how long a statement was under way.
	Count, Dropped, Hidden int    // Statements: sent, not recorded, not shown.
	SlowOnes, Failed       int
	Repeats                []*debugRepeat
	Lanes                  []debugLane
	Height                 int // Of the lanes.
	Statements             []*debugStatement
}

// Marked reports whether there is something to look at.
func (v *debugRequestView) Marked() bool {
	return v.SlowOnes > 0 || v.Failed > 0 || len(v.Repeats) > 0 || v.StatusClass == "bad"
}

// MostRepeated is how often the statement was sent that was sent most.
func (v *debugRequestView) MostRepeated() int {
	most := 0
	for _, r := range v.Repeats {
		most = max(most, r.Count)
	}
	return most
}

// A debugLane has the statements of a request on one bind.
type debugLane struct {
	Bind  *debugBind
	Count int
	Y     int
	Bars  []debugBar
}

// A debugBar is a statement on a timeline: where it starts, and how long it is.
type debugBar struct{ X, Width string }

// newDebugBar places a statement on a timeline of that span, wide enough to be seen.
func newDebugBar(at, took, span time.Duration) debugBar {
	width := max(float64(took), float64(span)/200)
	x := min(max(float64(at), 0), float64(span)-width)
	return debugBar{X: percent(x, float64(span)), Width: percent(width, float64(span))}
}

// A debugStatement is a statement in the list of a request's statements.
type debugStatement struct {
	debugBar

	Bind         *debugBind
	Text, Reason string
	Rows         string
	At, Duration string
	Caller, File string // As short as it is clear, and in full.
	Slow         bool
	Repeat       *debugRepeat // Nil if it isn't repeated.
	Control      bool         // It begins or ends a transaction.
}

// A debugRepeat is a statement that one line has sent to one bind again and
// again in one request.
type debugRepeat struct {
	Bind   *debugBind
	Text   string
	Caller string
	Count  int
	Took   string

	total time.Duration
}

type repeatKey struct{ bind, template, caller string }

func newDebugRequestView(r *debugRequest, slow time.Duration, binds map[string]*debugBind) *debugRequestView {
	v := &debugRequestView{
		Method: r.method, Route: r.route, Problem: r.problem, Status: r.status, StatusClass: statusClass(r.status),
		Time: r.start.Format("15:04:05.000"), Duration: showTime(r.duration),
		Count: len(r.records) + r.dropped, Dropped: r.dropped, Hidden: max(len(r.records)-maxDebugRows, 0),
	}
	repeats := v.findRepeats(r.records, binds)
	span, busy := spanOf(r)
	v.Busy = showTime(busy)
	for i := range r.records {
		q := &r.records[i]
		s := newDebugStatement(q, r.start, span)
		s.Bind = binds[q.bind]
		s.Bind.Sent++
		s.Slow = q.duration >= slow
		s.Repeat = repeats[keyOf(q)]
		if s.Slow {
			v.SlowOnes++
		}
		if q.failed {
			v.Failed++
		}
		v.addBar(s)
		if i < maxDebugRows {
			v.Statements = append(v.Statements, s)
		}
	}
	v.Height = max(len(v.Lanes)*(laneHeight+laneGap)-laneGap, 0)
	return v
}

// spanOf returns how long a request's timeline is, and how much of it at least
// one statement was under way.
func spanOf(r *debugRequest) (span, busy time.Duration) {
	byStart := slices.SortedFunc(slices.Values(r.records), func(a, b debugRecord) int { return a.start.Compare(b.start) })
	span = r.duration
	var seen time.Duration // Up to here, counted.
	for i := range byStart {
		start := byStart[i].start.Sub(r.start)
		end := start + byStart[i].duration
		span = max(span, end)
		busy += max(end-max(start, seen), 0)
		seen = max(seen, end)
	}
	return span, busy
}

func newDebugStatement(q *debugRecord, start time.Time, span time.Duration) *debugStatement {
	s := &debugStatement{
		debugBar: newDebugBar(q.start.Sub(start), q.duration, span),
		Text:     q.text, Reason: q.reason,
		At: showTime(max(q.start.Sub(start), 0)), Duration: showTime(q.duration),
		Caller: shortCaller(q.caller), File: q.caller, Control: isControl(q.op),
	}
	if q.rows >= 0 {
		s.Rows = strconv.FormatInt(q.rows, 10)
	}
	return s
}

// addBar adds a statement to the lane of its bind.
func (v *debugRequestView) addBar(s *debugStatement) {
	for i := range v.Lanes {
		if v.Lanes[i].Bind == s.Bind {
			v.Lanes[i].Count++
			v.Lanes[i].Bars = append(v.Lanes[i].Bars, s.debugBar)
			return
		}
	}
	v.Lanes = append(v.Lanes, debugLane{Bind: s.Bind, Count: 1, Y: len(v.Lanes) * (laneHeight + laneGap), Bars: []debugBar{s.debugBar}})
}

// findRepeats finds what was sent at least debugRepeats times.
func (v *debugRequestView) findRepeats(records []debugRecord, binds map[string]*debugBind) map[repeatKey]*debugRepeat {
	all := make(map[repeatKey]*debugRepeat)
	var order []repeatKey
	for i := range records {
		q := &records[i]
		if isControl(q.op) {
			continue
		}
		key := keyOf(q)
		if all[key] == nil {
			all[key] = &debugRepeat{Bind: binds[q.bind], Text: q.template, Caller: shortCaller(q.caller)}
			order = append(order, key)
		}
		all[key].Count++
		all[key].total += q.duration
	}
	for _, key := range order {
		r := all[key]
		if r.Count < debugRepeats {
			delete(all, key)
			continue
		}
		r.Took = showTime(r.total)
		v.Repeats = append(v.Repeats, r)
	}
	return all
}

func keyOf(q *debugRecord) repeatKey { return repeatKey{q.bind, q.template, q.caller} }

// isControl reports whether a statement begins or ends a transaction or a part
// of one.
func isControl(op string) bool {
	first, _, _ := strings.Cut(op, " ")
	switch first {
	case "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PREPARE", "XA":
		return true
	}
	return false
}

func statusClass(status int) string {
	switch {
	case status >= http.StatusInternalServerError:
		return "bad"
	case status >= http.StatusBadRequest:
		return "warn"
	}
	return "good"
}

// shortCaller returns the file's name with its folder.
func shortCaller(caller string) string {
	folder, file := filepath.Split(filepath.ToSlash(caller))
	if folder == "" {
		return file
	}
	return filepath.Base(folder) + "/" + file
}
