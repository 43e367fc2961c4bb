package mysql

import (
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// MySQL has days that no calendar has: 2024-02-00 and 2024-00-00 unless the
// sql_mode forbids them, 2024-02-30 if it allows them. Go-sql-driver would read
// other days for them, so that the texts of times are read here.

// errNoDay is for a day that is on no calendar.
var errNoDay = errors.New("a day that is on no calendar, such as 2024-02-00: read it as a text, with CAST(... AS CHAR), or correct the row")

// A dayError is a day that cannot be read.
type dayError struct{ column string }

func (e *dayError) Error() string { return fmt.Sprintf("mysql: column %q: %v", e.column, errNoDay) }

// findTimes notes which columns of the present result hold times.
func (r *rows) findTimes() {
	r.times = r.times[:0]
	if !r.statement.conn.connector.settings.cfg.ParseTime {
		return
	}
	for i := range r.Columns() {
		switch r.ColumnTypeDatabaseTypeName(i) {
		case "DATE", "DATETIME", "TIMESTAMP":
			r.times = append(r.times, i)
		}
	}
}

// readTimes makes times of the texts in a row.
func (r *rows) readTimes(row []sqldriver.Value) error {
	for _, i := range r.times {
		text, ok := row[i].([]byte)
		if !ok {
			continue // A null.
		}
		at, err := readTime(text, r.statement.conn.connector.settings.cfg.Loc)
		if errors.Is(err, errNoDay) {
			return &dayError{r.Columns()[i]}
		}
		if err != nil {
			return fmt.Errorf("mysql: column %q: %w", r.Columns()[i], err)
		}
		row[i] = at
	}
	return nil
}

var errNoTime = errors.New("what the server sends is no time")

// readTime reads a day, or a day and a time with up to six digits behind the
// second. The day of zeros, which stands for none, is a zero time.
func readTime(text []byte, loc *time.Location) (time.Time, error) {
	const pattern = "0000-00-00 00:00:00.000000"
	if len(text) != 10 && len(text) < 19 || len(text) > len(pattern) || !follows(text, pattern) {
		return time.Time{}, errNoTime
	}
	if string(text) == pattern[:len(text)] {
		return time.Time{}, nil
	}
	year, month, day := whole(text[:4]), whole(text[5:7]), whole(text[8:10])
	if month == 0 || month > 12 || day == 0 || day > 28 && day > daysIn(year, month) {
		return time.Time{}, errNoDay
	}
	var hour, minute, second, nano int
	if len(text) > 10 {
		hour, minute, second = whole(text[11:13]), whole(text[14:16]), whole(text[17:19])
	}
	if len(text) > 20 {
		nano = whole(text[20:])
		for range 9 - len(text[20:]) {
			nano *= 10
		}
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nano, loc)
	if len(text) == 10 && at.Day() != day {
		// Summer time begins at midnight: the day begins an hour later.
		at = time.Date(year, time.Month(month), day, 1, 0, 0, 0, loc)
	}
	return at, nil
}

// follows reports whether a text has digits where the pattern has, and is the
// same elsewhere.
func follows(text []byte, pattern string) bool {
	for i, c := range text {
		if pattern[i] == '0' && (c < '0' || c > '9') || pattern[i] != '0' && c != pattern[i] {
			return false
		}
	}
	return true
}

func whole(digits []byte) int {
	n := 0
	for _, c := range digits {
		n = 10*n + int(c-'0')
	}
	return n
}

// daysIn returns how many days a month has.
func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
