package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"strconv"
	"strings"
	"time"
)

// MapRows is what the rows of a driver can do that knows what a value is worth
// in a map, where no field says what type it wants.
type MapRows interface {
	// MapColumns returns what makes of a column's values those of a map, for
	// each column. Nil leaves them as they are.
	MapColumns() []Convert
}

// LentRows are rows whose bytes are their driver's, and another row's once that
// is read.
type LentRows interface{ LendsBytes() }

// A Convert makes of a driver's value the one that every database gives. It
// leaves what it does not know, a null for one, as it is.
type Convert func(sqldriver.Value) sqldriver.Value

// KeptColumns is what makes of the columns of rows in memory those of a map,
// as far as the rows that they come from have known. The zero value knows nothing.
type KeptColumns struct {
	Columns []Convert
	Known   bool
}

type keptColumnsKey struct{}

// WithKeptColumns returns a context whose query notes in kept what makes of its
// columns those of a map.
func WithKeptColumns(ctx context.Context, kept *KeptColumns) context.Context {
	return context.WithValue(ctx, keptColumnsKey{}, kept)
}

// KeepColumns notes it, if that is asked for and rows, a driver's, know.
func KeepColumns(ctx context.Context, rows sqldriver.Rows) {
	kept, ok := ctx.Value(keptColumnsKey{}).(*KeptColumns)
	if !ok {
		return
	}
	if known, ok := rows.(MapRows); ok {
		*kept = KeptColumns{Columns: known.MapColumns(), Known: true}
	}
}

// AsText makes a string of bytes.
func AsText(v sqldriver.Value) sqldriver.Value {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v
}

// AsBool makes a bool of a 0 and a 1.
func AsBool(v sqldriver.Value) sqldriver.Value {
	if n, ok := v.(int64); ok && (n == 0 || n == 1) {
		return n == 1
	}
	return v
}

// AsUTC gives a time in UTC.
func AsUTC(v sqldriver.Value) sqldriver.Value {
	if t, ok := v.(time.Time); ok {
		return t.UTC()
	}
	return v
}

// AsDouble makes of a number of single precision the float64 of the same
// digits.
func AsDouble(v sqldriver.Value) sqldriver.Value {
	single, ok := v.(float32)
	if !ok {
		return v
	}
	double, err := strconv.ParseFloat(strconv.FormatFloat(float64(single), 'g', -1, 32), 64)
	if err != nil {
		return float64(single)
	}
	return double
}

// AsClock makes a string of a time of day, without zeros at the end of its
// fraction.
func AsClock(v sqldriver.Value) sqldriver.Value {
	s, ok := AsText(v).(string)
	if ok && strings.Contains(s, ".") {
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return AsText(v)
}
