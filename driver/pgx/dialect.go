package pgx

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf8"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/literal"
	"github.com/echobun/echobun/internal/wire"
)

// Why a value is refused before anything is sent.
var (
	errNUL     = errors.New("pgx: text with a NUL byte, 0x00, which PostgreSQL has in bytea alone")
	errUTF8    = errors.New("pgx: text that is not UTF-8, which PostgreSQL has in bytea alone")
	errJSONNUL = errors.New("pgx: JSON with a NUL byte, 0x00")
)

// dialect is Bun's, with tables that can be observed, and but for values that
// Bun would store otherwise than they were given.
type dialect struct {
	*pgdialect.Dialect

	registry *wire.Registry
}

func newDialect() *dialect {
	d := &dialect{Dialect: pgdialect.New()}
	d.registry = wire.NewRegistry(describer{d.Dialect})
	return d
}

// Tables returns the registry.
func (d *dialect) Tables() *schema.Tables { return d.registry.Tables() }

// ObserveTables implements driver.TableObserver.
func (d *dialect) ObserveTables(observe func(*schema.Table)) { d.registry.ObserveTables(observe) }

// RenewTables puts a registry that build has filled in the place of the
// present one.
func (d *dialect) RenewTables(build func(*schema.Tables) bool) { d.registry.RenewTables(build) }

// AppendString appends a string as it is, or refuses it. Bun's own replaces
// bytes that are not UTF-8. A connection takes statements only while the quote
// is the one character that has a meaning in a literal.
func (*dialect) AppendString(b []byte, s string) []byte {
	if err := unfit(s); err != nil {
		return bundialect.AppendError(b, err)
	}
	return literal.AppendString(b, s)
}

// unfit returns why PostgreSQL has no such text.
func unfit(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return errNUL
	case !utf8.ValidString(s):
		return errUTF8
	}
	return nil
}

// AppendJSON appends JSON as it is, or refuses it. Bun's own leaves NUL bytes
// out and doubles the backslash of \u0000, which makes another text of it.
// What the server takes for a NUL it refuses itself, in jsonb.
func (d *dialect) AppendJSON(b, json []byte) []byte {
	switch {
	case bytes.IndexByte(json, 0) >= 0:
		return bundialect.AppendError(b, errJSONNUL)
	case !utf8.Valid(json):
		return bundialect.AppendError(b, errUTF8)
	}
	return literal.AppendString(b, json)
}

// AppendBytes appends bytes as what they are. Bun's own are hexadecimal digits
// in a literal of no type, which a column of text takes for their text. Plain
// text is written so that it is the same in columns of bytes, text and JSON;
// outside of ASCII that would hang on the encoding of the database.
func (*dialect) AppendBytes(b, bs []byte) []byte {
	switch {
	case bs == nil:
		return bundialect.AppendNull(b)
	case isPlain(bs):
		return literal.AppendString(b, bs)
	}
	b = append(b, `'\x`...)
	b = hex.AppendEncode(b, bs)
	return append(b, "'::bytea"...)
}

// isPlain reports whether bytes are ASCII in which bytea escapes nothing.
func isPlain(bs []byte) bool {
	for _, c := range bs {
		if c == 0 || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
