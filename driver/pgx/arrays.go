package pgx

import (
	"cmp"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

var (
	valuerType = reflect.TypeFor[sqldriver.Valuer]()
	timeType   = reflect.TypeFor[time.Time]()
)

// An elementCheck returns why an element of an array cannot be written.
type elementCheck func(elem reflect.Value) error

// cureArray has an array refuse the elements that Bun changes or drops: it
// writes an array as one literal, in which its own words of refusal are text.
func cureArray(f *schema.Field) {
	typ := fields.TypeOf(f)
	if typ.Kind() != reflect.Slice && typ.Kind() != reflect.Array || f.Append == nil {
		return
	}
	if typ.Elem().Implements(valuerType) {
		fields.SetAppend(f, appendValuers)
	} else if check := checkOf(typ.Elem()); check != nil {
		f.Append = checked(f.Append, check)
	}
	if elem := typ.Elem(); elem.Kind() == reflect.Pointer || elem == timeType || fields.Reads(elem) {
		declared := strings.ToLower(cmp.Or(f.UserSQLType, f.DiscoveredSQLType))
		fields.SetScan(f, scanArray(strings.HasPrefix(declared, "bytea")))
	}
}

// checked is an appender of arrays that refuses what check does.
func checked(write schema.AppenderFunc, check elementCheck) schema.AppenderFunc {
	return func(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
		elems := reflect.Indirect(v)
		if !elems.IsValid() {
			return bundialect.AppendNull(b)
		}
		for i := range elems.Len() {
			if err := check(elems.Index(i)); err != nil {
				return bundialect.AppendError(b, fmt.Errorf("element %d of an array: %w", i, err))
			}
		}
		return write(gen, b, v)
	}
}

// checkOf returns the check of elements of a type; nil for those that Bun
// writes as they are.
func checkOf(typ reflect.Type) elementCheck {
	switch kind := typ.Kind(); {
	case typ == timeType, kind >= reflect.Bool && kind <= reflect.Float64:
		return nil
	case kind == reflect.String:
		return func(elem reflect.Value) error { return unfit(elem.String()) }
	case kind == reflect.Slice && typ.Elem().Kind() == reflect.Uint8:
		return nil
	case kind == reflect.Pointer:
		return throughPointer(checkOf(typ.Elem()))
	}
	return func(elem reflect.Value) error {
		return fmt.Errorf("pgx: %s cannot be written as an element: give it a Value method, or the column another type", elem.Type())
	}
}

func throughPointer(check elementCheck) elementCheck {
	if check == nil {
		return nil
	}
	return func(elem reflect.Value) error {
		if elem.IsNil() {
			return nil
		}
		return check(elem.Elem())
	}
}

// appendValuers appends an array whose elements say what is written of them.
// Bun's own takes a NULL among them for an error.
func appendValuers(_ schema.QueryGen, b []byte, v reflect.Value) []byte {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return bundialect.AppendNull(b)
	}
	start := len(b)
	b = append(b, "'{"...)
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValuer(b, v.Index(i)); err != nil {
			return bundialect.AppendError(b[:start], fmt.Errorf("element %d of an array: %w", i, err))
		}
	}
	return append(b, "}'"...)
}

func appendValuer(b []byte, elem reflect.Value) ([]byte, error) {
	valuer, ok := reflect.TypeAssert[sqldriver.Valuer](elem)
	if !ok || elem.Kind() == reflect.Pointer && elem.IsNil() {
		return bundialect.AppendNull(b), nil
	}
	value, err := valuer.Value()
	if err != nil {
		return b, err
	}
	return appendElement(b, value)
}

// appendElement appends what a Value method may return.
func appendElement(b []byte, value sqldriver.Value) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return bundialect.AppendNull(b), nil
	case string:
		return appendQuotedElement(b, value), unfit(value)
	case []byte:
		return append(hex.AppendEncode(append(b, `"\\x`...), value), '"'), nil
	case int64:
		return strconv.AppendInt(b, value, 10), nil
	case float64:
		return strconv.AppendFloat(b, value, floatFormat(value), -1, 64), nil
	case bool:
		return strconv.AppendBool(b, value), nil
	case time.Time:
		b = value.UTC().AppendFormat(append(b, '"'), "2006-01-02 15:04:05.999999-07:00")
		return append(b, '"'), nil
	}
	return b, fmt.Errorf("pgx: a Value method that returns %T", value)
}

// appendQuotedElement appends a text inside of an array that is in a literal.
func appendQuotedElement(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch s[i] {
		case '"', '\\':
			b = append(b, '\\')
		case '\'':
			b = append(b, '\'')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
