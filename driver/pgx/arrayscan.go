package pgx

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/uptrace/bun/schema"
)

// scanArray returns what reads an array whose elements can be NULL, of which
// Bun's own makes empty ones, or read themselves. Elements of bytea are bytes.
func scanArray(isBytea bool) schema.ScannerFunc {
	return func(dest reflect.Value, src any) error {
		var text string
		switch src := src.(type) {
		case nil:
			dest.SetZero()
			return nil
		case string:
			text = src
		case []byte:
			text = string(src)
		default:
			return fmt.Errorf("pgx: cannot scan a %T into %s", src, dest.Type())
		}
		elems, err := arrayElements(text)
		if err != nil {
			return err
		}
		if isBytea {
			decodeBytes(elems)
		}
		return scanElements(dest, elems)
	}
}

// decodeBytes makes bytes of what PostgreSQL writes of them.
func decodeBytes(elems []any) {
	for i, elem := range elems {
		if text, ok := elem.(string); ok && strings.HasPrefix(text, `\x`) {
			if b, err := hex.DecodeString(text[2:]); err == nil {
				elems[i] = b
			}
		}
	}
}

func scanElements(dest reflect.Value, elems []any) error {
	if dest.Kind() == reflect.Slice {
		dest.Set(reflect.MakeSlice(dest.Type(), len(elems), len(elems)))
	} else if len(elems) > dest.Len() {
		return fmt.Errorf("pgx: cannot scan %d elements into %s", len(elems), dest.Type())
	}
	read := elementScanner(dest.Type().Elem())
	for i, elem := range elems {
		if err := read(dest.Index(i), elem); err != nil {
			return fmt.Errorf("pgx: element %d of an array: %w", i, err)
		}
	}
	return nil
}

// timeTypes are those of which the text of an element has to be made a time
// first: database/sql's take no text, and a time of an array is in UTC, as others are.
var timeTypes = map[reflect.Type]bool{
	timeType:                               true,
	reflect.TypeFor[*time.Time]():          true,
	reflect.TypeFor[sql.NullTime]():        true,
	reflect.TypeFor[sql.Null[time.Time]](): true,
}

// elementScanner returns what reads the text of an element.
func elementScanner(typ reflect.Type) schema.ScannerFunc {
	read := schema.Scanner(typ)
	if !timeTypes[typ] {
		return read
	}
	readTime := schema.Scanner(timeType)
	return func(dest reflect.Value, src any) error {
		if src == nil {
			return read(dest, nil)
		}
		var at time.Time
		if err := readTime(reflect.ValueOf(&at).Elem(), src); err != nil {
			return err
		}
		return read(dest, at.UTC())
	}
}

// arrayElements takes an array of one dimension apart: a nil is a NULL, the
// others are texts.
func arrayElements(text string) ([]any, error) {
	rest, ok := strings.CutPrefix(text, "{")
	if !ok || !strings.HasSuffix(rest, "}") {
		return nil, fmt.Errorf("pgx: no array of one dimension that begins with 1: %q", text)
	}
	rest = rest[:len(rest)-1]
	elems := []any{}
	for rest != "" {
		var elem any
		if elem, rest, ok = cutElement(rest); !ok {
			return nil, fmt.Errorf("pgx: no array of one dimension: %q", text)
		}
		elems = append(elems, elem)
	}
	return elems, nil
}

// cutElement takes the first element off the inside of an array, with the comma
// behind it.
func cutElement(s string) (elem any, rest string, ok bool) {
	if s[0] == '"' {
		text, rest, ok := cutQuoted(s[1:])
		return text, rest, ok
	}
	bare, rest, _ := strings.Cut(s, ",")
	switch {
	case bare == "NULL":
		return nil, rest, true
	case bare == "" || bare[0] == '{':
		return nil, "", false
	}
	return bare, rest, true
}

// cutQuoted is cutElement behind an opening quote.
func cutQuoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			rest, comma := strings.CutPrefix(s[i+1:], ",")
			return b.String(), rest, comma || rest == ""
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
