package confread

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Object is a JSON object with its keys as they came: encoding/json would
// drop repeated ones without a word.
type Object []Member

// A Member is a key of an object, and its value.
type Member struct {
	Name  string
	Value any
}

// ParseJSON reads data into nil, bool, string, [json.Number], []any and Object.
func ParseJSON(data []byte) (any, error) {
	var valid json.RawMessage
	if err := json.Unmarshal(data, &valid); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(valid))
	dec.UseNumber()
	return readJSON(dec)
}

func readJSON(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return readObject(dec)
	case json.Delim('['):
		return readArray(dec)
	}
	return token, nil
}

func readObject(dec *json.Decoder) (any, error) {
	var o Object
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := readJSON(dec)
		if err != nil {
			return nil, err
		}
		o = append(o, Member{fmt.Sprint(name), value})
	}
	_, err := dec.Token()
	return o, err
}

func readArray(dec *json.Decoder) (any, error) {
	a := []any{}
	for dec.More() {
		value, err := readJSON(dec)
		if err != nil {
			return nil, err
		}
		a = append(a, value)
	}
	_, err := dec.Token()
	return a, err
}

// ParseYAML reads what a YAML library makes of an untyped value.
func ParseYAML(unmarshal func(any) error) (any, error) {
	var v any
	err := unmarshal(&v)
	if err == nil {
		return v, nil
	}
	// An error of goccy/go-yaml quotes the lines around the mistake.
	var quoting interface {
		FormatError(colored, source bool) string
	}
	if errors.As(err, &quoting) {
		return nil, errors.New("echobun: config: " + quoting.FormatError(false, false))
	}
	return nil, fmt.Errorf("echobun: config: %w", err)
}

// Members returns what is in an object, of JSON in the order of its text, of
// YAML in alphabetical order.
func Members(v any) ([]Member, bool) {
	switch v := v.(type) {
	case Object:
		return v, true
	case map[string]any:
		members := make([]Member, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			members = append(members, Member{name, v[name]})
		}
		return members, true
	case map[any]any:
		members := make([]Member, 0, len(v))
		for name, value := range v {
			members = append(members, Member{keyText(name), value})
		}
		slices.SortStableFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		return members, true
	}
	return nil, false
}

func keyText(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

// Into returns a reader of a key that puts its value into field.
func Into[T any](field *T, read func(any) (T, error)) func(string, any) error {
	return func(_ string, v any) error {
		value, err := read(v)
		if err != nil {
			return err
		}
		*field = value
		return nil
	}
}

// Pointer reads what read does, and returns a pointer to it.
func Pointer[T any](read func(any) (T, error)) func(any) (*T, error) {
	return func(v any) (*T, error) {
		value, err := read(v)
		if err != nil {
			return nil, err
		}
		return &value, nil
	}
}

// String reads a string.
func String(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return "", wrongType("a string", v)
}

// Strings reads a list of strings.
func Strings(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType("a list of strings", v)
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			return nil, fmt.Errorf("want a list of strings, not with %s in it", TypeName(item))
		}
	}
	return out, nil
}

// Bool reads a boolean.
func Bool(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, wrongType("true or false", v)
}

// Echo reads what SQLAlchemy takes for echo, "debug" included.
func Echo(v any) (bool, error) {
	s, ok := v.(string)
	if !ok {
		return Bool(v)
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "on", "y", "t", "1", "debug":
		return true, nil
	case "false", "no", "off", "n", "f", "0":
		return false, nil
	}
	return false, errors.New(`want true, false or "debug", not another string`)
}

// Unsupported reads what Flask-SQLAlchemy can do and this package cannot.
func Unsupported(_ string, v any) error {
	on, err := Echo(v)
	if err == nil && on {
		return errors.New("is not supported here: set it to false, or leave it out")
	}
	return err
}

// Int reads a whole number of 32 bits.
func Int(v any) (int, error) {
	text, ok := numeral(v)
	if !ok {
		return 0, wrongType("a whole number", v)
	}
	i, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, errors.New("want a whole number of at most 32 bits")
	}
	return int(i), nil
}

// PoolSize reads SQLAlchemy's pool_size.
func PoolSize(v any) (int, error) {
	size, err := Int(unquoted(v))
	if err == nil && size < 0 {
		err = errors.New("want a positive number of connections, or 0 for no limit")
	}
	return size, err
}

// MaxOverflow reads SQLAlchemy's max_overflow.
func MaxOverflow(v any) (int, error) {
	overflow, err := Int(unquoted(v))
	if err == nil && overflow < -1 {
		err = errors.New("want a number of connections, or -1 for no limit")
	}
	return overflow, err
}

// Duration reads a Go duration or a number of seconds. All negative ones
// are the same.
func Duration(v any) (time.Duration, error) {
	d, err := parseDuration(v)
	return max(d, -1), err
}

// Seconds reads SQLAlchemy's pool_recycle and pool_timeout. Their zero is a
// time that is over at once, not a default.
func Seconds(v any) (time.Duration, error) {
	d, err := Duration(unquoted(v))
	if err == nil && d == 0 {
		d = 1
	}
	return d, err
}

func parseDuration(v any) (time.Duration, error) {
	if s, ok := v.(string); ok {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New(`want a duration such as "90s" or "1h30m", or a number of seconds`)
		}
		return d, nil
	}
	text, ok := numeral(v)
	if !ok {
		return 0, wrongType("a duration or a number of seconds", v)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(seconds) < math.MaxInt64/1e9) { // Also not a NaN.
		return 0, errors.New("is out of range: want a number of seconds")
	}
	d := time.Duration(seconds * 1e9)
	if d == 0 && seconds > 0 {
		d = 1
	}
	return d, nil
}

// Unquoted reads a string that holds a number as the number: a variable of an
// environment has no other.
func Unquoted[T any](read func(any) (T, error)) func(any) (T, error) {
	return func(v any) (T, error) {
		if s, ok := v.(string); ok {
			if _, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
				v = json.Number(strings.TrimSpace(s))
			}
		}
		return read(v)
	}
}

// unquoted makes a number of a string that holds one, as SQLAlchemy does for
// the options of its pool.
func unquoted(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	s = strings.TrimSpace(s)
	if _, err := strconv.Atoi(s); err != nil {
		return v
	}
	return json.Number(s)
}

// numeral returns the digits of a number of JSON or YAML.
func numeral(v any) (string, bool) {
	if n, ok := v.(json.Number); ok {
		return n.String(), true
	}
	switch rv := reflect.ValueOf(v); {
	case rv.CanInt() || rv.CanUint() || rv.CanFloat():
		return fmt.Sprint(v), true
	}
	return "", false
}

func wrongType(want string, v any) error {
	return fmt.Errorf("want %s, not %s", want, TypeName(v))
}

// TypeName says what v is, without its value.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	}
	if _, ok := numeral(v); ok {
		return "a number"
	}
	if _, ok := Members(v); ok {
		return "an object"
	}
	return "a value of another type"
}
