package sqlite

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/literal"
	"github.com/echobun/echobun/internal/wire"
)

// Why a value is refused before anything is sent.
var (
	errJSONNul    = errors.New("sqlite: JSON with a NUL byte (0x00)")
	errJSONDigits = errors.New("sqlite: JSON that is a number and no more, with other digits than SQLite would keep: put it into a list or an object")
	errUnsigned   = errors.New("sqlite: an integer beyond 9223372036854775807, which SQLite would make a float of")
	errYear       = errors.New("sqlite: a time outside of the years 0 to 9999, which SQLite does not know")
)

// dialect is Bun's, but for values that Bun would store otherwise than they
// were given.
type dialect struct {
	*sqlitedialect.Dialect

	registry *wire.Registry
}

func newDialect() *dialect {
	d := &dialect{Dialect: sqlitedialect.New()}
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

// AppendJSON appends JSON as it is. Bun's own is written for PostgreSQL, which
// cannot store a NUL: it leaves NUL bytes out and doubles the backslash of
// \u0000.
func (*dialect) AppendJSON(b, json []byte) []byte {
	if bytes.IndexByte(json, 0) >= 0 {
		return bundialect.AppendError(b, errJSONNul)
	}
	return literal.AppendString(b, json)
}

// AppendString appends a string as it is. Bun's own refuses a NUL, and
// replaces bytes that are not UTF-8.
func (*dialect) AppendString(b []byte, s string) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		// SQLite would not read the statement past it.
		b = append(b, "CAST(x'"...)
		b = hex.AppendEncode(b, []byte(s))
		return append(b, "' AS TEXT)"...)
	}
	return literal.AppendString(b, s)
}

// AppendUint64 appends an integer that SQLite has. A larger one it would store
// as a float, and no list of rows with that one in it could be read.
func (*dialect) AppendUint64(b []byte, n uint64) []byte {
	if n > math.MaxInt64 {
		return bundialect.AppendError(b, errUnsigned)
	}
	return strconv.AppendUint(b, n, 10)
}

// AppendTime appends a time, and a whole day in UTC as SQLite's date() writes
// it: a column of days has one text for each, however it is given.
func (*dialect) AppendTime(b []byte, at time.Time) []byte {
	at = at.UTC()
	if year := at.Year(); year < 0 || year > 9999 {
		return bundialect.AppendError(b, errYear)
	}
	b = at.AppendFormat(append(b, '\''), timeFormat(at))
	return append(b, '\'')
}

const (
	dayFormat    = "2006-01-02"
	momentFormat = "2006-01-02 15:04:05.999999-07:00"
)

// timeFormat returns the format for a time in UTC. What is below a microsecond
// is not kept, on any database.
func timeFormat(at time.Time) string {
	if h, m, s := at.Clock(); h|m|s == 0 && at.Nanosecond() < int(time.Microsecond) {
		return dayFormat
	}
	return momentFormat
}
