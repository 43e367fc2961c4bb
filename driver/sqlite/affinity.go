package sqlite

import (
	"bytes"
	"cmp"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// SQLite goes by the name of a column's type. Unless that is one of text or of
// blobs, a text that is a number is stored as one: as an integer, or else as a
// float, with what digits that has. JSON, DECIMAL and UUID are such names.

// makesNumbers reports whether a column of a declared type does so.
func makesNumbers(declared string) bool {
	declared = strings.ToUpper(declared)
	if strings.Contains(declared, "INT") {
		return true
	}
	return declared != "" && !strings.Contains(declared, "CHAR") && !strings.Contains(declared, "CLOB") &&
		!strings.Contains(declared, "TEXT") && !strings.Contains(declared, "BLOB")
}

// ofNumbers are the columns in which a number is the same, however it is written.
var ofNumbers = regexp.MustCompile(`(?i)INT|NUM|DEC|REAL|FLOA|DOUB|MONEY|JSON`) //nolint:misspell // SQLite looks for "DOUB" in the name of a type.

// keepDigits refuses a text that its column would make another of, and reads
// the digits of a number as a text.
func keepDigits(f *schema.Field) {
	declared, write := cmp.Or(f.UserSQLType, f.DiscoveredSQLType), f.Append
	if write == nil || !makesNumbers(declared) || isNumeric(fields.TypeOf(f)) || fields.TypeOf(f) == reflect.TypeFor[time.Time]() {
		return
	}
	kept, why := sameText, errDigits
	switch {
	case makesFloats(declared):
		kept = sameFloat
	case ofNumbers.MatchString(declared):
		kept = sameNumber
	}
	if isJSON(strings.ToUpper(declared)) {
		why = errJSONDigits
	}
	f.Append = func(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
		start := len(b)
		b = write(gen, b, v)
		if text, quoted := bytes.CutPrefix(b[start:], []byte("'")); quoted && looksLikeNumber(text[:len(text)-1]) && !kept(string(text[:len(text)-1])) {
			return bundialect.AppendError(b[:start], fmt.Errorf("%w: a column of type %s: declare it TEXT", why, declared))
		}
		return b
	}
	if scan := f.Scan; scan != nil && f.IndirectType.Kind() == reflect.String {
		f.Scan = func(dest reflect.Value, src any) error {
			if n, ok := src.(float64); ok {
				src = strconv.FormatFloat(n, 'f', -1, 64) // Bun's own has an exponent.
			}
			return scan(dest, src)
		}
	}
}

// makesFloats reports whether a column of a declared type makes floats of all
// numbers.
func makesFloats(declared string) bool {
	declared = strings.ToUpper(declared)
	return !strings.Contains(declared, "INT") &&
		(strings.Contains(declared, "REAL") || strings.Contains(declared, "FLOA") || strings.Contains(declared, "DOUB")) //nolint:misspell // SQLite looks for "DOUB" in the name of a type.
}

var errDigits = errors.New("sqlite: a text that is a number, and would be stored as another")

// isNumeric reports whether Bun writes values of a type without quotes.
func isNumeric(typ reflect.Type) bool {
	return reflect.Bool <= typ.Kind() && typ.Kind() <= reflect.Float64 && !fields.WritesItself(typ)
}

// sameNumber reports whether a text that SQLite takes for a number is stored
// with all its digits.
func sameNumber(text string) bool {
	if _, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
		return true
	}
	return sameFloat(text)
}

// sameFloat reports whether a text that SQLite takes for a number has all its
// digits as a float.
func sameFloat(text string) bool {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return true
	}
	return err == nil && decimal(text) == decimal(strconv.FormatFloat(n, 'e', -1, 64))
}

// sameText reports whether a text that SQLite takes for a number is read as it
// was.
func sameText(text string) bool {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10) == text
	}
	_, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return errors.Is(err, strconv.ErrSyntax)
}

// looksLikeNumber spares most texts a closer look, and others that only Go takes
// for numbers.
func looksLikeNumber(text []byte) bool {
	return len(text) > 0 && len(bytes.Trim(text, "0123456789+-.eE \t\n\v\f\r")) == 0
}

// decimal returns the digits of a number and their place, without zeros at
// either end.
func decimal(number string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimLeft(number, "+")), "e")
	place, _ := strconv.Atoi(cmp.Or(exponent, "0")) // One that is too large is that of 0, or no float's.
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	short := strings.TrimRight(digits, "0")
	place += len(digits) - len(short) - len(fraction)
	return fmt.Sprint(negative, short, place)
}

// jsonColumns returns which columns are declared as JSON, where a document that
// is a number is read as one.
func jsonColumns(raw rawRows) []int {
	var columns []int
	for i := range raw.Columns() {
		if isJSON(raw.ColumnTypeDatabaseTypeName(i)) {
			columns = append(columns, i)
		}
	}
	return columns
}

func isJSON(declared string) bool { return declared == "JSON" || declared == "JSONB" }

// asJSON makes a document of a number that SQLite has made of one.
func asJSON(v sqldriver.Value) sqldriver.Value {
	switch n := v.(type) {
	case int64:
		return strconv.FormatInt(n, 10)
	case float64:
		switch {
		case math.IsInf(n, 1):
			return "9e999" // As SQLite's own functions write it. Only others store it.
		case math.IsInf(n, -1):
			return "-9e999"
		}
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	return v
}
