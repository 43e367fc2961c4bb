package drivertest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// valueCases returns the rows of the matrix.
func valueCases() []valueCase {
	return slices.Concat(integerCases(), floatCases(), textCases(), timeCases(), bytesCases(), jsonCases(),
		addressCases(), nullCases(), arrayCases())
}

func values[T any](vs ...T) []any {
	all := make([]any, len(vs))
	for i, v := range vs {
		all[i] = v
	}
	return all
}

func integerCases() []valueCase {
	return []valueCase{
		{name: "bool", values: values(false, true)},
		{name: "bit", tag: "type:bit(1)", values: values(false, true), only: []string{"mysql"}},
		{name: "int8", values: values[int8](math.MinInt8, -1, 0, 1, math.MaxInt8)},
		{name: "int16", values: values[int16](math.MinInt16, -1, 0, 1, math.MaxInt16)},
		{name: "int32", values: values[int32](math.MinInt32, -1, 0, 1, math.MaxInt32)},
		{name: "int64", values: values[int64](math.MinInt64, -1<<53-1, -1, 0, 1, 1<<53+1, 532020595019325700, math.MaxInt64)},
		{name: "int", values: values(math.MinInt64, -1, 0, 1, math.MaxInt64)},
		{name: "uint8", values: values[uint8](0, 1, math.MaxInt8, math.MaxUint8)},
		{name: "uint16", values: values[uint16](0, 1, math.MaxInt16, math.MaxInt16+1, math.MaxUint16)},
		{name: "uint32", values: values[uint32](0, 1, math.MaxInt32, math.MaxInt32+1, math.MaxUint32)},
		{name: "uint64", values: values[uint64](0, 1, math.MaxInt64, math.MaxInt64+1, math.MaxInt64+12345, math.MaxUint64)},
		{name: "uint", values: values[uint](0, 1, math.MaxInt64, math.MaxInt64+1, math.MaxUint64)},
		{name: "*int64", values: []any{new(int64), (*int64)(nil), pointer(int64(math.MinInt64))}},
		{name: "named integer", values: values(namedInteger(-1), namedInteger(math.MaxInt64))},
	}
}

type (
	namedInteger int64
	namedString  string
	namedBytes   []byte
)

func pointer[T any](v T) *T { return &v }

func floatCases() []valueCase {
	wide := values(0, math.Copysign(0, -1), 1, -1, 0.1, 1.5, -2.5e-7, math.Pi, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64,
		1e15, 1e16, 1e17, 5.320205950193257e+17, -5.320205950193257e+17, 1<<53+2, 9.3e18, 1e19, 1.5e100, 1.2345678901e-70, 3e-120)
	for e := -307; e <= 308; e += 41 {
		wide = append(wide, 1.2345678901234567*math.Pow10(e))
	}
	narrow := values[float32](0, 1, 0.1, -1.5, 16777216, 1e10, 1e-10, 1.2345678e20, math.MaxFloat32, math.SmallestNonzeroFloat32)
	odd := values(math.NaN(), math.Inf(1), math.Inf(-1), 1)
	return []valueCase{
		{name: "float64", values: wide},
		{name: "float64 that is no number", values: odd},
		{name: "float32", values: narrow},
		{name: "float32 that is no number", values: values(float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)))},
		{
			name: "float64 in numeric", tag: "type:numeric(20,6)", fields: true, typ: reflect.TypeFor[float64](),
			values: values(0.0, 10, -3, 1.5, 0.25, 123456.75, 1e13),
		},
		{
			name: "*float32 in numeric", tag: "type:numeric(20,6)", fields: true, typ: reflect.TypeFor[*float32](),
			values: []any{pointer(float32(10)), pointer(float32(0.5)), (*float32)(nil)},
		},
		{name: "*float64", values: []any{pointer(0.1), pointer(5.320205950193257e+17), (*float64)(nil)}},
	}
}

// everyCharacter has all of Unicode's basic plane that a text may hold.
func everyCharacter() string {
	var b strings.Builder
	for r := rune(1); r < 0xffff; r++ {
		if r < 0xd800 || r > 0xdfff {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func textCases() []valueCase {
	short := []string{
		"", "plain", "1", "1e5", "NULL", "TRUE", "2024-03-31", "2024-03-31 10:00:00+00:00", "it's", `"quoted"`, "`back`", `\`, `\\`, `\'`, `\u0000`,
		"?", "?0", "?!(x)", "$1", "%_", "{a,NULL}", "{}", "[]", "a\tb\nc\rd", "\ufeffmark", "\u2028", "Zoë", "e\u0301", "👩‍👩‍👧", "\U0010ffff", "العربية", "日本",
	}
	odd := []string{"a\x00b", "\x00", "\xff", "a\xc3", "\xed\xa0\x80", "\xf0\x9f'"}
	long := []string{strings.Repeat("x", 255), strings.Repeat("é", 255), strings.Repeat("x", 256), strings.Repeat("y", 65535), strings.Repeat("y", 65536), everyCharacter()}
	var text []any
	for _, s := range slices.Concat(short, odd, long) {
		text = append(text, s)
	}
	return []valueCase{
		{name: "string", values: slices.Concat(values(short...), values(odd...), values(long[:4]...))},
		{name: "string in text", tag: "type:text", values: text, opaque: true},
		{name: "*string", values: []any{pointer(""), pointer("a"), (*string)(nil)}},
		{name: "named string", values: values(namedString(""), namedString(`it's \`), namedString("\xff"))},
		{name: "sized string", tag: "type:varchar(5)", values: values("", "12345", "日本語日本", "123456")},
	}
}

func timeCases() []valueCase {
	at := func(year int, loc *time.Location) time.Time {
		return time.Date(year, 7, 14, 23, 59, 58, 123456000, loc)
	}
	east, west := time.FixedZone("", 5*3600+1800), time.FixedZone("", -9*3600)
	micro := func(v any) any { return v.(time.Time).Truncate(time.Microsecond) } //nolint:forcetypeassert,errcheck // It is one.
	day := time.Date(2024, 3, 31, 0, 0, 0, 0, time.UTC)
	return []valueCase{
		{name: "time", coarse: micro, values: values(at(2024, time.UTC), at(2024, east), at(2025, west), at(1971, time.UTC), at(2030, time.UTC).Truncate(time.Second),
			time.Date(2024, 3, 31, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 31, 1, 2, 3, 999999999, time.UTC), time.Date(2024, 10, 27, 2, 30, 0, 10000, east))},
		{name: "time at the ends", coarse: micro, values: values(time.Time{}, at(1, time.UTC), at(0, time.UTC), at(-1, time.UTC), at(999, time.UTC), at(1000, time.UTC), at(9999, time.UTC),
			time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), at(10000, time.UTC), at(99999, time.UTC), at(-4800, time.UTC), at(300000, time.UTC))},
		{name: "*time", values: []any{pointer(day), (*time.Time)(nil)}},
		{name: "day", tag: "type:date", values: values(day, day.AddDate(0, 0, 1), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))},
	}
}

// bareDocuments are JSON that is one value and no more. Where a database knows
// no JSON it may take a number for one of its own.
func bareDocuments() []any {
	return values(`1`, `-1`, `0`, `-0`, `1.5`, `1.0`, `-2.5e-7`, `1e5`, `1E+2`, `9007199254740993`, `9223372036854775807`, `9223372036854775808`,
		`12345678901234567890`, `100000000000000000000`, `0.1234567890123456789`, `1.7976931348623157e308`, `1e400`, `-1e400`, `1e-400`,
		`true`, `false`, `null`, `"1"`, `"1.5"`, `"true"`, ` 1 `)
}

func bytesCases() []valueCase {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	all := values([]byte{}, []byte(nil), []byte{0}, []byte("hello"), []byte{0xff, 0xfe}, []byte("'\\\"?"), every)
	texts := values([]byte("hello"), []byte{}, []byte(nil), []byte("it's \\x41 Zoë"), []byte{0xff}, []byte("a\x00b"))
	docs := append(values(`{"a":1}`, `"x"`, `[1,2]`, `null`, `"a\u0000b"`, `{"k":"it's \\u0000"}`, `no JSON`, ``), bareDocuments()...)
	raw := make([]any, len(docs))
	for i, d := range docs {
		raw[i] = json.RawMessage(fmt.Sprint(d))
	}
	return []valueCase{
		{name: "bytes", values: all, opaque: true},
		{name: "bytes in a sized column", tag: "type:varbinary(300)", values: all, only: []string{"mysql"}},
		{name: "bytes in bytea", tag: "type:bytea", values: all, only: []string{"pg"}},
		{name: "bytes in blob", tag: "type:blob", values: all, only: []string{"sqlite"}},
		{name: "bytes in text", tag: "type:text", values: texts, opaque: true},
		{name: "bytes in varchar", tag: "type:varchar(200)", values: texts},
		{name: "named bytes", values: values(namedBytes("hello"), namedBytes{}), opaque: true},
		{name: "named bytes in json", tag: "type:json", values: values(namedBytes(`{"a": "b"}`), namedBytes(`"x"`)), opaque: true, coarse: compacted},
		{name: "bytes in json", tag: "type:json", values: bytesOf(docs), opaque: true, coarse: compacted},
		{name: "bytes in jsonb", tag: "type:jsonb", values: bytesOf(docs), opaque: true, only: []string{"pg"}, coarse: compacted},
		{name: "raw JSON", values: raw, opaque: true},
		{name: "raw JSON in text", tag: "type:text", values: raw, opaque: true},
		{name: "*raw JSON", values: []any{pointer(json.RawMessage("1")), pointer(json.RawMessage(`"1"`)), (*json.RawMessage)(nil)}, opaque: true},
		{name: "array of bytes", values: values([16]byte{1, 0, 255, '\''}, [16]byte{}), opaque: true},
		{name: "UUID", tag: "type:char(36)", values: values(uuid{1, 2, 0xff}, uuid{})},
		{name: "UUID in uuid", tag: "type:uuid", values: values(uuid{1, 2, 0xff}, uuid{}), only: []string{"pg"}},
		{name: "*UUID", tag: "type:char(36)", values: []any{&uuid{1}, (*uuid)(nil)}},
	}
}
