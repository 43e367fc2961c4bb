package drivertest

import (
	"bytes"
	sqldriver "database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"time"
)

// sameValue reports whether a value is the same as another of its type: an
// instant in another zone is, and so is what a different pointer points to.
func sameValue(want, got any) bool {
	if want == nil || got == nil {
		return want == got
	}
	switch w := want.(type) {
	case time.Time:
		g, ok := got.(time.Time)
		return ok && w.Equal(g)
	case net.IP:
		g, ok := got.(net.IP)
		return ok && w.Equal(g)
	case json.RawMessage:
		g, ok := got.(json.RawMessage)
		return ok && sameJSON(w, g)
	case float64:
		g, ok := got.(float64)
		return ok && (w == g || math.IsNaN(w) && math.IsNaN(g))
	case float32:
		g, ok := got.(float32)
		return ok && sameValue(float64(w), float64(g))
	}
	return sameReflected(reflect.ValueOf(want), reflect.ValueOf(got))
}

// inUTC reports whether the times in a value are in UTC, in which all are read.
func inUTC(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil() || inUTC(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !inUTC(v.Index(i)) {
				return false
			}
		}
	case reflect.Struct:
		at, ok := reflect.TypeAssert[time.Time](v)
		return ok && at.Location() == time.UTC || !ok && (v.NumField() == 0 || !v.Field(0).CanInterface() || inUTC(v.Field(0)))
	}
	return true
}

func sameReflected(want, got reflect.Value) bool {
	if want.Type() != got.Type() {
		return false
	}
	switch want.Kind() {
	case reflect.Pointer, reflect.Interface:
		if want.IsNil() || got.IsNil() {
			return want.IsNil() == got.IsNil()
		}
		return sameValue(want.Elem().Interface(), got.Elem().Interface())
	case reflect.Slice, reflect.Array:
		return sameElements(want, got)
	case reflect.Struct:
		if valid := want.FieldByName("Valid"); valid.IsValid() && valid.Kind() == reflect.Bool {
			return valid.Bool() == got.FieldByName("Valid").Bool() && (!valid.Bool() || sameValue(want.Field(0).Interface(), got.Field(0).Interface()))
		}
	}
	return reflect.DeepEqual(want.Interface(), got.Interface())
}

func sameElements(want, got reflect.Value) bool {
	if want.Len() != got.Len() || want.Kind() == reflect.Slice && want.IsNil() != got.IsNil() {
		return false
	}
	for i := range want.Len() {
		if !sameValue(want.Index(i).Interface(), got.Index(i).Interface()) {
			return false
		}
	}
	return true
}

// sameJSON compares what JSON says.
func sameJSON(want, got []byte) bool {
	w, isJSON := saidBy(want)
	g, too := saidBy(got)
	if !isJSON || !too {
		return bytes.Equal(want, got)
	}
	return reflect.DeepEqual(w, g)
}

// saidBy returns what JSON says, with the numbers in it as fractions: all their
// digits count.
func saidBy(text []byte) (doc any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&doc) != nil || d.More() {
		return nil, false
	}
	return withFractions(doc), true
}

func withFractions(doc any) any {
	switch doc := doc.(type) {
	case json.Number:
		n, _ := new(big.Rat).SetString(doc.String())
		return "number " + n.String()
	case []any:
		for i := range doc {
			doc[i] = withFractions(doc[i])
		}
	case map[string]any:
		for key := range doc {
			doc[key] = withFractions(doc[key])
		}
	}
	return doc
}

// isNull reports whether a value is written as NULL.
func isNull(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if rv.IsNil() {
			return true
		}
	}
	switch v := v.(type) {
	case net.IP:
		return len(v) == 0
	case net.IPNet:
		return v.IP == nil
	case netip.Addr:
		return !v.IsValid()
	case netip.Prefix:
		return !v.IsValid()
	}
	valuer, ok := v.(sqldriver.Valuer)
	if !ok {
		return false
	}
	value, err := valuer.Value()
	return err == nil && value == nil
}

// label shows a value in a line.
func label(v any) string {
	rv := reflect.ValueOf(v)
	for rv.IsValid() && rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if !rv.IsValid() {
		return "nil"
	}
	switch v := rv.Interface().(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case string:
		return abbreviated(fmt.Sprintf("%+q", v))
	case []byte, json.RawMessage:
		return abbreviated(fmt.Sprintf("%+q", v))
	case fmt.Stringer:
		return abbreviated(strconv.QuoteToASCII(v.String()))
	default:
		return abbreviated(fmt.Sprintf("%+v", v))
	}
}

func abbreviated(s string) string {
	if len(s) > 100 {
		return s[:60] + fmt.Sprintf("...(%d)", len(s))
	}
	return s
}
