package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	bundialect "github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/literal"
	"github.com/echobun/echobun/internal/wire"
)

// A dialect is Bun's for MySQL with three cures: it asks no server while a
// [bun.DB] is made, it writes times in the location that they are read in, and
// it writes every string so that it is read back as it was.
//
// Its registry is made with the embedded dialect, on purpose: the Features of
// that one never asks a server, so registering a model does not wait for one.
// Only building a query may.
type dialect struct {
	*mysqldialect.Dialect

	registry  *wire.Registry
	connector atomic.Pointer[connector]
}

var _ schema.Dialect = (*dialect)(nil)

func newDialect() *dialect {
	d := &dialect{Dialect: mysqldialect.New()}
	d.registry = wire.NewRegistry(base{d.Dialect})
	return d
}

// Tables returns the registry.
func (d *dialect) Tables() *schema.Tables { return d.registry.Tables() }

// ObserveTables implements driver.TableObserver.
func (d *dialect) ObserveTables(observe func(*schema.Table)) { d.registry.ObserveTables(observe) }

// RenewTables puts a registry that build has filled in the place of the
// present one.
func (d *dialect) RenewTables(build func(*schema.Tables) bool) { d.registry.RenewTables(build) }

// Init finds the connector of the pool. It asks the server only in a pool that
// is not of this package, as Bun's own does.
func (d *dialect) Init(db *sql.DB) {
	if drv, ok := db.Driver().(connectorDriver); ok {
		d.connector.Store(drv.connector)
		return
	}
	d.Dialect.Init(db)
}

// Features returns what the server can do. If there was no connection yet, it
// opens one to ask, within a second.
func (d *dialect) Features() feature.Feature {
	base := d.Dialect.Features()
	if c := d.connector.Load(); c != nil {
		return base | c.learned()
	}
	return base
}

// AppendTime appends a time, in UTC unless the URL has another loc. A column
// keeps no zone: the hour that a clock shows twice when summer ends would be
// read as the other of the two, so that one is refused.
func (d *dialect) AppendTime(b []byte, tm time.Time) []byte {
	loc := time.UTC
	if c := d.connector.Load(); c != nil {
		loc = c.settings.cfg.Loc
	}
	tm = tm.In(loc)
	if loc != time.UTC && !sameWhenRead(tm) {
		return bundialect.AppendError(b, errTwice)
	}
	return d.Dialect.AppendTime(b, tm)
}

var errTwice = errors.New("mysql: a time in the hour that comes twice in the time zone of the parameter loc: leave loc out, times are UTC then")

// sameWhenRead reports whether what a clock in the time's zone shows stands for it.
func sameWhenRead(tm time.Time) bool {
	y, m, d := tm.Date()
	return tm.Equal(time.Date(y, m, d, tm.Hour(), tm.Minute(), tm.Second(), tm.Nanosecond(), tm.Location()))
}

// introducer says which character set the bytes of a hexadecimal literal are in.
const introducer = "_" + charset + " "

// AppendString appends a string literal.
func (d *dialect) AppendString(b []byte, s string) []byte {
	switch {
	case !utf8.ValidString(s):
		return d.AppendBytes(b, []byte(s)) // For a blob. A text column refuses it.
	case strings.ContainsAny(s, "\\\x00"):
		return appendHex(append(b, introducer...), s)
	}
	return literal.AppendString(b, s)
}

// AppendJSON appends JSON text as a string literal.
func (d *dialect) AppendJSON(b, jsonb []byte) []byte {
	return d.AppendString(b, string(jsonb))
}

// appendHex appends a literal that means the same in every sql_mode: with
// NO_BACKSLASH_ESCAPES two backslashes between quotes are two.
func appendHex(b []byte, s string) []byte {
	b = append(b, "X'"...)
	b = hex.AppendEncode(b, []byte(s))
	return append(b, '\'')
}

const (
	// askLimit bounds a connection that is only opened to ask what the server
	// can do.
	askLimit = time.Second
	// askAgain is how long nobody asks after that has failed.
	askAgain = time.Second
)

// learned returns what the server of the newest connection can do beyond the
// least. Before the first connection it opens one, outside the pool.
func (c *connector) learned() feature.Feature {
	if f := c.features.Load(); f != nil {
		return *f
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	if f := c.features.Load(); f != nil {
		return *f
	}
	if !c.asked.IsZero() && time.Since(c.asked) < askAgain || c.killer.isClosed() {
		return 0
	}
	return c.ask()
}

// ask is called with the mutex held.
func (c *connector) ask() feature.Feature {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	cn, err := c.Connect(ctx)
	if err != nil {
		c.asked = time.Now()
		c.settings.cfg.Logger.Print("server could not be asked for its version: ", err)
		return 0
	}
	_ = cn.Close() // It has said what it was opened for.
	return *c.features.Load()
}
