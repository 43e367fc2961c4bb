package fields

import (
	"bytes"
	"encoding/hex"
	"reflect"

	"github.com/uptrace/bun/schema"
)

// cureMsgpack has the bytes of a field with the option msgpack written as the
// dialect writes bytes. Bun writes them as a literal of PostgreSQL, '\x81', which
// other databases take for a text of these letters.
func cureMsgpack(f *schema.Field) {
	write := f.Append
	f.Append = func(gen schema.QueryGen, b []byte, v reflect.Value) []byte {
		start := len(b)
		b = write(gen, b, v)
		text, ok := bytes.CutPrefix(b[start:], []byte(`'\x`))
		if !ok {
			return b
		}
		raw := make([]byte, hex.DecodedLen(len(text)-1))
		if _, err := hex.Decode(raw, text[:len(text)-1]); err != nil {
			return b
		}
		return gen.Dialect().AppendBytes(b[:start], raw)
	}
}
