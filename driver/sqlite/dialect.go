package sqlite

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf8"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/wire"
)

var errJSONNul = errors.New("sqlite: JSON with a NUL byte (0x00)")

// dialect is Bun's, but for texts that Bun would store otherwise than they
// were given.
type dialect struct {
	*sqlitedialect.Dialect

	registry *wire.Registry
}

func newDialect() *dialect {
	d := &dialect{Dialect: sqlitedialect.New()}
	d.registry = wire.NewRegistry(d.Dialect)
	return d
}

// Tables returns the registry.
func (d *dialect) Tables() *schema.Tables { return d.registry.Tables() }

// ObserveTables implements driver.TableObserver.
func (d *dialect) ObserveTables(observe func(*schema.Table)) { d.registry.ObserveTables(observe) }

// AppendJSON appends JSON as it is. Bun's own is written for PostgreSQL, which
// cannot store a NUL: it leaves NUL bytes out and doubles the backslash of
// \u0000.
func (*dialect) AppendJSON(b, json []byte) []byte {
	if bytes.IndexByte(json, 0) >= 0 {
		return bundialect.AppendError(b, errJSONNul)
	}
	return appendLiteral(b, json)
}

// AppendString appends a string as it is. Bun's own refuses a NUL, and
// replaces bytes that are not UTF-8.
func (d *dialect) AppendString(b []byte, s string) []byte {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		// SQLite would not read the statement past it.
		b = append(b, "CAST(x'"...)
		b = hex.AppendEncode(b, []byte(s))
		return append(b, "' AS TEXT)"...)
	case utf8.ValidString(s):
		return d.Dialect.AppendString(b, s)
	}
	return appendLiteral(b, []byte(s))
}

// appendLiteral appends a string literal. The quote is the only character
// that has a meaning in it.
func appendLiteral(b, text []byte) []byte {
	b = append(b, '\'')
	for _, c := range text {
		if c == '\'' {
			b = append(b, '\'')
		}
		b = append(b, c)
	}
	return append(b, '\'')
}
