package echobun

import (
	"strings"
	"time"
	"unsafe"
)

const (
	// debugBudget is how many bytes the requests may take that the debug page
	// remembers. The oldest make room for the newest.
	debugBudget = 8 << 20

	// debugShare is how much of it one request may take. What is sent after
	// that is counted, but not kept.
	debugShare = debugBudget / 8
)

// A debugRecord is a statement as the debug page remembers it. It has texts of
// its own, no longer than they are shown: an error may hold what a client has
// sent, several times over, and any text may be a part of a much larger one.
type debugRecord struct {
	bind, op, template, caller string
	text                       string // What is shown: with its arguments, if that is asked for.
	reason                     string // Why it failed, as far as it may be shown.
	failed                     bool
	start                      time.Time
	duration                   time.Duration
	rows                       int64
}

// A debugKeeper makes what is kept of one request, and counts how much that
// is. A text that it has met is not kept again.
type debugKeeper struct {
	texts map[string]string
	size  int
}

// text returns a copy of s, or of as much of it as is shown.
func (k *debugKeeper) text(s string) string {
	s = shorten4k(s)
	if kept, ok := k.texts[s]; ok || s == "" {
		return kept
	}
	s = strings.Clone(s)
	k.texts[s] = s
	k.size += len(s)
	return s
}

// record returns what is kept of a statement.
func (k *debugKeeper) record(q *QueryRecord) debugRecord {
	r := debugRecord{
		bind: k.text(q.Bind), op: k.text(q.Op), template: k.text(q.Template), text: k.text(q.text()), caller: k.text(q.Caller),
		start: q.Start, duration: q.Duration, rows: q.Rows,
	}
	if q.Err != nil {
		r.failed, r.reason = true, k.text(q.reason())
	}
	k.size += int(unsafe.Sizeof(r))
	return r
}

// keep fills in what is kept of a request and its statements.
func (r *debugRequest) keep(method, route, problem string, sent []QueryRecord, dropped int) {
	k := debugKeeper{texts: make(map[string]string), size: int(unsafe.Sizeof(*r))}
	r.method, r.route, r.problem = k.text(method), k.text(route), k.text(problem)
	r.records, r.dropped = make([]debugRecord, 0, len(sent)), dropped
	for i := range sent {
		record := k.record(&sent[i])
		if k.size > debugShare {
			r.dropped += len(sent) - i
			break
		}
		r.records = append(r.records, record)
	}
	if len(r.records) < len(sent) { // The memory for the others would be kept with them.
		r.records = append(make([]debugRecord, 0, len(r.records)), r.records...)
	}
	r.size = k.size
}
