package drivertest

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

func bytesOf(texts []any) []any {
	all := make([]any, len(texts))
	for i, t := range texts {
		all[i] = []byte(fmt.Sprint(t))
	}
	return all
}

// compacted is what is kept of JSON: what it says, and not its spaces.
func compacted(v any) any {
	doc, ok := saidBy(reflect.ValueOf(v).Bytes())
	if !ok {
		return v
	}
	text, _ := json.Marshal(doc) //nolint:errchkjson // It was JSON.
	return string(text)
}

// A document has what JSON has.
type document struct {
	Text    string
	Number  float64
	Big     int64
	List    []any
	Nested  map[string]any
	Nothing *int
}

func jsonCases() []valueCase {
	texts := []string{"plain", "it's", `\`, `\\u0000`, `a\u0000b`, "a\x00b", "\x00", `"`, "\u2028<&>", "👩‍👩‍👧", "\xff"}
	var maps, tagged, docs, slices []any
	for _, s := range texts {
		maps = append(maps, map[string]string{"k": s, s: "v"})
		tagged = append(tagged, map[string]string{"k": s})
		docs = append(docs, document{Text: s, Number: 1.5e300, Big: 1<<53 + 1, List: []any{s, nil, true}, Nested: map[string]any{"a": s}})
		slices = append(slices, []string{s, ""})
	}
	return []valueCase{
		{name: "map", values: append(maps, map[string]string{}, map[string]string(nil)), opaque: true, coarse: asUTF8[map[string]string]},
		{name: "map in json", tag: "type:json", values: tagged, opaque: true, coarse: asUTF8[map[string]string]},
		{name: "map in jsonb", tag: "type:jsonb", values: tagged, opaque: true, only: []string{"pg"}, coarse: asUTF8[map[string]string]},
		{name: "struct", values: docs, opaque: true, coarse: asUTF8[document]},
		{name: "slice", values: append(slices, []string{}, []string(nil)), opaque: true, coarse: asUTF8[[]string]},
		{name: "struct in msgpack", tag: "msgpack", values: docs, opaque: true, fields: true},
		{name: "*struct in msgpack", tag: "msgpack", values: []any{&document{Text: "it's", List: []any{"a", nil}}}, opaque: true, fields: true},
		{name: "strings in msgpack", tag: "msgpack", values: append(slices, []string(nil)), opaque: true, fields: true},
		{name: "slice of integers", values: values([]int{1, 2}, []int{}, []int(nil)), opaque: true},
		{name: "any in json", tag: "type:json", typ: reflect.TypeFor[any](), values: []any{map[string]any{"a": "b"}, []any{"x", 1.5, nil}, nil}, opaque: true},
		{
			name: "any that is bare in json", tag: "type:json", typ: reflect.TypeFor[any](), opaque: true, fields: true,
			values: []any{1.0, 1.5, -0.25, 1e17, 1e300, 9007199254740993.0, true, false, "1", "1.5", "true", "x", ""},
		},
		{name: "struct of json.Number", values: values(numbered{"1"}, numbered{"12345678901234567890"}), opaque: true},
	}
}

type numbered struct{ N json.Number }

// asUTF8 is what encoding/json makes of a value: bytes that are not UTF-8
// cannot be written in JSON, and Go's own replaces them.
func asUTF8[T any](v any) any {
	var back T
	if text, err := json.Marshal(v); err != nil || json.Unmarshal(text, &back) != nil {
		return v
	}
	return back
}

// A uuid writes itself as text, as the packages of UUIDs do.
//
//nolint:recvcheck // As those of all such packages: it is written by value and read by pointer.
type uuid [16]byte

func (u uuid) Value() (sqldriver.Value, error) { return u.String(), nil }

func (u uuid) String() string {
	s := hex.EncodeToString(u[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// Scan reads a UUID, as text or as its bytes.
func (u *uuid) Scan(src any) error {
	text, ok := src.(string)
	if b, isBytes := src.([]byte); isBytes {
		if len(b) == len(u) {
			copy(u[:], b)
			return nil
		}
		text, ok = string(b), true
	}
	if !ok {
		return fmt.Errorf("a UUID from %T", src)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	copy(u[:], b)
	return err
}

func addressCases() []valueCase {
	network := net.IPNet{IP: net.IP{10, 1, 0, 0}, Mask: net.CIDRMask(16, 32)}
	return []valueCase{
		{name: "net.IP", values: values(net.ParseIP("10.1.2.3"), net.ParseIP("2001:db8::1"), net.IP{127, 0, 0, 1}, net.IP(nil), net.IP{})},
		{name: "net.IPNet", values: values(network, net.IPNet{})},
		{name: "*net.IP", values: []any{pointer(net.ParseIP("10.1.2.3")), (*net.IP)(nil)}},
		{name: "netip.Addr", tag: "type:varchar(60)", values: values(netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1"),
			netip.MustParseAddr("fe80::1%eth0"), netip.Addr{})},
		{name: "netip.Addr in inet", tag: "type:inet", values: values(netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("2001:db8::1"), netip.Addr{}), only: []string{"pg"}},
		{name: "netip.Addr as Bun has it", values: values(netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fe80::1%eth0"), netip.Addr{})},
		{name: "netip.Prefix", tag: "type:varchar(60)", values: values(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.Prefix{})},
		{name: "netip.Prefix as Bun has it", values: values(netip.MustParsePrefix("10.0.0.0/8"), netip.Prefix{})},
	}
}

func nullOf[T any](vs ...T) []any {
	all := []any{sql.Null[T]{}}
	for _, v := range vs {
		all = append(all, sql.Null[T]{V: v, Valid: true})
	}
	return all
}

func nullCases() []valueCase {
	at := time.Date(2024, 3, 31, 1, 2, 3, 456789000, time.UTC)
	return []valueCase{
		{name: "sql.NullInt64", values: values(sql.NullInt64{}, sql.NullInt64{Int64: 1 << 60, Valid: true}, sql.NullInt64{Valid: true})},
		{name: "sql.NullInt32", values: values(sql.NullInt32{}, sql.NullInt32{Int32: 9, Valid: true}, sql.NullInt32{Int32: 10, Valid: true})},
		{name: "sql.NullInt16", values: values(sql.NullInt16{}, sql.NullInt16{Int16: 9, Valid: true})},
		{name: "sql.NullByte", values: values(sql.NullByte{}, sql.NullByte{Byte: 9, Valid: true})},
		{name: "sql.NullString", values: values(sql.NullString{}, sql.NullString{String: "it's", Valid: true}, sql.NullString{Valid: true})},
		{name: "sql.NullBool", values: values(sql.NullBool{}, sql.NullBool{Bool: true, Valid: true}, sql.NullBool{Valid: true})},
		{name: "sql.NullFloat64", values: values(sql.NullFloat64{}, sql.NullFloat64{Float64: 0.1, Valid: true}, sql.NullFloat64{Float64: 1e17, Valid: true})},
		{name: "sql.NullTime", values: values(sql.NullTime{}, sql.NullTime{Time: at, Valid: true})},
		{name: "sql.Null[int64]", values: nullOf[int64](0, 9, 10, 100, 1<<60)},
		{name: "sql.Null[int32]", values: nullOf[int32](9, 10)},
		{name: "sql.Null[string]", values: nullOf("", "it's", `\`)},
		{name: "sql.Null[bool]", values: nullOf(false, true)},
		{name: "sql.Null[float32]", values: nullOf[float32](0.1, 1e17)},
		{name: "sql.Null[float64]", values: nullOf(0.1, 1e17)},
		{name: "sql.Null[time.Time]", values: nullOf(at)},
		{name: "sql.Null[[]byte]", values: nullOf([]byte{}, []byte{0xff, 0}), opaque: true},
		{name: "sql.Null[uuid]", tag: "type:char(36)", values: nullOf(uuid{1})},
	}
}

func arrayCases() []valueCase {
	pg := []string{"pg"}
	at := time.Date(2024, 3, 31, 1, 2, 3, 456789000, time.UTC)
	texts := []string{"", "NULL", "null", "a,b", "{}", `"q"`, `\`, "it's", "a b", "Zoë 👩‍👩‍👧", "?!(x)"}
	return []valueCase{
		{name: "array of strings", tag: "array", only: pg, opaque: true, values: values(texts, []string{}, []string(nil), []string{"a\x00b"}, []string{"\xff"})},
		{name: "array of *string", tag: "array", only: pg, opaque: true, values: values([]*string{pointer("a"), nil, pointer(""), pointer("NULL")}, []*string{}, []*string(nil))},
		{name: "array of *int64", tag: "array", only: pg, opaque: true, values: values([]*int64{pointer(int64(1)), nil, pointer(int64(0))})},
		{name: "array of int64", tag: "array", only: pg, opaque: true, values: values([]int64{1, -1, 1 << 60}, []int64{}, []int64(nil))},
		{name: "array of int32", tag: "array", only: pg, opaque: true, values: values([]int32{1, -1})},
		{name: "array of float64", tag: "array", only: pg, opaque: true, values: values([]float64{0.1, 1e300, 1e-300})},
		{name: "array of bool", tag: "array", only: pg, opaque: true, values: values([]bool{true, false})},
		{name: "array of times", tag: "array", only: pg, opaque: true, values: values([]time.Time{at, {}})},
		{name: "array of *time", tag: "array", only: pg, opaque: true, values: values([]*time.Time{&at, nil})},
		{name: "array of bytes slices", tag: "array", only: pg, opaque: true, values: values([][]byte{{1, 0xff}, {}, []byte("it's")})},
		{name: "array of *float64", tag: "array", only: pg, opaque: true, values: values([]*float64{pointer(0.5), nil})},
		{name: "array of *bool", tag: "array", only: pg, opaque: true, values: values([]*bool{pointer(false), nil, pointer(true)})},
		{name: "array of sql.NullString", tag: "array", only: pg, opaque: true, values: values([]sql.NullString{{}, {String: "", Valid: true}, {String: "it's", Valid: true}})},
		{name: "array of sql.NullString in text", tag: "array,type:text[]", only: pg, opaque: true, values: values([]sql.NullString{{}, {Valid: true}, {String: "it's", Valid: true}}, []sql.NullString(nil), []sql.NullString{{String: "\x00", Valid: true}})},
		{name: "array of sql.NullTime", tag: "array,type:timestamptz[]", only: pg, opaque: true, values: values([]sql.NullTime{{}, {Time: at, Valid: true}})},
		{name: "array of sql.NullFloat64", tag: "array,type:float8[]", only: pg, opaque: true, values: values([]sql.NullFloat64{{}, {Float64: 1e300, Valid: true}})},
		{name: "array of UUIDs", tag: "array,type:uuid[]", only: pg, opaque: true, values: values([]uuid{{1}, {}})},
		{name: "array of UUIDs as Bun has it", tag: "array", only: pg, opaque: true, values: values([]uuid{{1}, {}})},
		{name: "array of valuers that fail", tag: "array,type:text[]", only: pg, opaque: true, values: values([]unwilling{{}})},
		{name: "array of two dimensions", tag: "array,type:bigint[]", only: pg, opaque: true, values: values([][]int64{{1, 2}, {3, 4}})},
		{name: "array of strings that are named", tag: "array", only: pg, opaque: true, values: values([]namedString{"a", "it's"})},
	}
}

// An unwilling value cannot be written.
type unwilling struct{}

func (unwilling) Value() (sqldriver.Value, error) { return nil, errors.New("unwilling") }
