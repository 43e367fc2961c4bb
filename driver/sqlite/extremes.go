package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"
	"time"
)

// SQLite says of an expression neither type nor column, so that a MAX or MIN of
// times comes as text, which time.Time and sql.NullTime do not take. What the
// columns inside of them are shows in the same query without the two words.

// extremes finds such columns in the rows of a query.
type extremes struct {
	c     *conn
	query string
	args  []sqldriver.NamedValue

	asked bool
	times []bool // By column; nil if there are none.
}

// fix makes times of the texts in a row that are times. What it costs is a look
// at the texts: at the first that looks like a time, it asks.
func (e *extremes) fix(row []sqldriver.Value, raw rawRows, w *watch) {
	for i, v := range row {
		text, ok := v.(string)
		if !ok || !looksLikeTime(text) {
			continue
		}
		if !e.asked {
			e.asked = true
			e.ask(raw, w)
		}
		if i >= len(e.times) || !e.times[i] {
			continue
		}
		if at, ok := parseTime(text); ok {
			row[i] = at
		}
	}
}

// ask prepares the query without the words. One that cannot be, such as one
// with a MAX of several values, has no such column.
func (e *extremes) ask(raw rawRows, w *watch) {
	if e.c == nil || !e.c.n.set.plainTimes() {
		return
	}
	inner, found := withoutExtremes(e.query)
	if !found || w.enter() != nil {
		return
	}
	rows, err := e.c.raw.QueryContext(context.Background(), "SELECT * FROM ("+inner+") LIMIT 0", e.args)
	if w.leave(err) != nil {
		return
	}
	if columns, ok := rows.(rawRows); ok {
		for i := range columns.Columns() {
			isTime := raw.ColumnTypeDatabaseTypeName(i) == "" && holdsTimes(columns.ColumnTypeDatabaseTypeName(i))
			e.times = append(e.times, isTime)
		}
	}
	_ = rows.Close()
}

// holdsTimes goes by what modernc.org/sqlite does.
func holdsTimes(declared string) bool {
	return declared == "DATE" || declared == "DATETIME" || declared == "TIMESTAMP"
}

// withoutExtremes takes the words MAX and MIN off their brackets. What comes
// behind the last word, a comment that would swallow what is put there, is left
// out.
func withoutExtremes(query string) (inner string, found bool) {
	var b strings.Builder
	s := scanner{rest: query}
	from, end := 0, 0
	for {
		word := s.next()
		if word == "" || word == ";" {
			b.WriteString(query[from:end])
			return b.String(), found && s.peek() == ""
		}
		end = len(query) - len(s.rest)
		if (is(word, "MAX") || is(word, "MIN")) && s.peek() == "(" {
			b.WriteString(query[from : end-len(word)])
			from, found = end, true
		}
	}
}

// looksLikeTime reports whether a text begins as a day does.
func looksLikeTime(s string) bool {
	return len(s) >= len(dayFormat) && s[4] == '-' && s[7] == '-' && s[0] <= '9' && s[9] <= '9'
}

// timeFormats are those of the dialect, and of SQLite's own functions.
var timeFormats = []string{momentFormat, dayFormat, time.DateTime, "2006-01-02T15:04:05.999999999Z07:00"}

func parseTime(s string) (time.Time, bool) {
	for _, format := range timeFormats {
		if at, err := time.Parse(format, s); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}
