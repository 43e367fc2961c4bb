package echobun

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // For the page.
	"fmt"
	htmltemplate "html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun/dialect"
)

const (
	// debugHealthLimit is how long the debug page waits for a bind that is down.
	debugHealthLimit = time.Second

	// debugColors is how many colours debug.html has for binds.
	debugColors = 10

	// maxDebugText is how many bytes of a statement or an error are shown.
	maxDebugText = 4000
)

//go:embed debug.html
var debugHTML string

// debugTemplate is parsed for the first page, since most applications have none.
var debugTemplate = sync.OnceValue(func() *htmltemplate.Template {
	return htmltemplate.Must(htmltemplate.New("debug").Parse(debugHTML))
})

// DebugHandler returns a handler that answers with a page for developers: the
// binds with their state and pools, the tables of each, and the last 50
// requests that passed the extension's middleware, with their statements as a
// timeline; slow ones, and those that are repeated (N+1), are marked. Mount it
// where nobody else gets to it, never in public: it shows how the application
// works, and errors name hosts and users.
//
//	e.GET("/debug/db", ext.DebugHandler())
//
// Statements are there with Config.RecordQueries, and their arguments only
// with Config.LogArgs. Slow is what takes as long as Config.SlowQuery, or
// 100 ms. Requests are remembered from the first call of DebugHandler on;
// without one they cost nothing. What is remembered takes 8 MiB at most, and
// the page says how much: long texts are cut, a request's statements beyond
// 1 MiB are only counted, and the oldest requests make room. After
// [Extension.Close], every bind is down.
//
// The page is one document, without scripts, for which it sets a strict
// Content-Security-Policy.
func (x *Extension) DebugHandler() echo.HandlerFunc {
	x.debug.mount()
	return func(c echo.Context) error {
		c.Set(debugPageKey, true)
		ctx, cancel := context.WithTimeout(c.Request().Context(), debugHealthLimit)
		defer cancel()

		page := x.debugPage(ctx)
		var html bytes.Buffer
		if err := debugTemplate().Execute(&html, page); err != nil {
			return fmt.Errorf("echobun: make the debug page: %w", err)
		}
		h := c.Response().Header()
		h.Set(echo.HeaderCacheControl, "no-store")
		h.Set(echo.HeaderReferrerPolicy, "no-referrer")
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'nonce-"+page.Nonce+
			"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		return c.HTMLBlob(http.StatusOK, html.Bytes())
	}
}

// A debugPage is what debug.html shows.
type debugPage struct {
	Nonce string
	Now   string

	Recording, Args bool
	Slow            string // What takes as long is slow.
	Repeats         int    // So many of the same are repeated.

	Status string // Of all binds.
	Binds  []*debugBind

	Requests                               []*debugRequestView
	Size, Budget                           string // What is remembered takes, and may take.
	Total, Statements, SlowOnes, Repeaters int
}

// A debugBind is a bind with what is declared on it.
type debugBind struct {
	Key       string // The empty key is that of the default bind.
	Label     string
	Color     int
	Dialect   string
	Health    BindHealth
	Latency   string
	Wait      string
	InUse     string // Share of the pool, in per cent.
	Idle      string
	Sent      int // Statements of the requests on the page.
	Tables    []debugTable
	Unmanaged bool
}

type debugTable struct {
	Name, What string
	Columns    []debugColumn
	Indexes    []string
}

type debugColumn struct{ Name, Type, Notes string }

func (x *Extension) debugPage(ctx context.Context) *debugPage {
	p := &debugPage{
		Nonce: rand.Text(), Now: time.Now().Format("2006-01-02 15:04:05"),
		Recording: x.debug.records, Args: x.debug.args, Slow: showTime(x.debug.slow), Repeats: debugRepeats,
	}
	h := x.Health(ctx)
	p.Status = h.Status
	binds := make(map[string]*debugBind, len(h.Binds))
	for i, key := range x.keys() {
		b := newDebugBind(x.engines[key], h.Binds[key])
		b.Color = i % debugColors
		binds[key] = b
		p.Binds = append(p.Binds, b)
	}
	requests, size, total := x.debug.newest()
	p.Total, p.Size, p.Budget = total, showSize(size), showSize(debugBudget)
	for i := range requests {
		p.addRequest(newDebugRequestView(&requests[i], x.debug.slow, binds))
	}
	return p
}

func (p *debugPage) addRequest(v *debugRequestView) {
	p.Requests = append(p.Requests, v)
	p.Statements += v.Count
	if v.SlowOnes > 0 {
		p.SlowOnes++
	}
	if len(v.Repeats) > 0 {
		p.Repeaters++
	}
}

func newDebugBind(e *engine, h BindHealth) *debugBind {
	h.Error = shorten4k(h.Error)
	size := float64(cmp.Or(h.Pool.Max, h.Pool.Open))
	b := &debugBind{
		Key: e.key, Label: debugLabel(e.key), Dialect: dialectLabel(e.db.Dialect().Name()), Health: h, Unmanaged: e.unmanaged,
		Latency: showTime(h.Latency), Wait: showTime(h.Pool.Wait),
		InUse: percent(float64(h.Pool.InUse), size), Idle: percent(float64(h.Pool.Idle), size),
	}
	for _, t := range e.metadata.Tables() {
		b.Tables = append(b.Tables, newDebugTable(t))
	}
	return b
}

func newDebugTable(t *Table) debugTable {
	d := debugTable{Name: t.qualified(), What: t.of.label()}
	if t.of.def != nil {
		d.What = "echobun.Table"
	}
	for i, c := range t.Columns {
		sqlType := c.Type.String()
		if fields := t.of.table.Fields; t.of.def != nil && i < len(fields) && fields[i].Name == c.Name {
			sqlType = fields[i].CreateTableSQLType // What the portable type is on this database.
		}
		d.Columns = append(d.Columns, debugColumn{Name: c.Name, Type: sqlType, Notes: columnNotes(c)})
	}
	for _, ix := range t.Indexes {
		text := t.indexName(ix) + " on " + strings.Join(ix.Columns, ", ")
		if ix.Unique {
			text += ", unique"
		}
		d.Indexes = append(d.Indexes, text)
	}
	return d
}

func columnNotes(c Column) string {
	var notes []string
	for _, note := range []struct {
		text string
		set  bool
	}{
		{"primary key", c.PrimaryKey},
		{"auto-increment", c.AutoIncrement},
		{"not null", c.NotNull && !c.PrimaryKey},
		{"unique", c.Unique},
		{"default " + c.Default, c.Default != ""},
		{"references " + c.References, c.References != ""},
	} {
		if note.set {
			notes = append(notes, note.text)
		}
	}
	return strings.Join(notes, ", ")
}

func debugLabel(key string) string {
	if key == DefaultBind {
		return "(default)"
	}
	return showKey(key)
}

func dialectLabel(name dialect.Name) string {
	switch name {
	case dialect.PG:
		return "PostgreSQL"
	case dialect.MySQL:
		return "MySQL"
	case dialect.SQLite:
		return "SQLite"
	}
	return name.String()
}

// showTime returns a duration as people read it.
func showTime(d time.Duration) string {
	switch {
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case 0 < d && d < 5*time.Microsecond:
		return "<0.01 ms"
	case d >= 10*time.Millisecond || d == 0:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
}

// showSize returns a number of bytes as people read it.
func showSize(n int) string {
	if n < 1<<20 {
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// percent returns how much of the whole a part is, in SVG's words.
func percent(part, whole float64) string {
	if whole <= 0 {
		return "0%"
	}
	return strconv.FormatFloat(100*part/whole, 'f', 2, 64) + "%"
}

// shorten4k cuts off what no page can show.
func shorten4k(s string) string {
	if len(s) <= maxDebugText {
		return s
	}
	end := maxDebugText
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:end], len(s))
}
