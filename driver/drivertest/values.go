package drivertest

import (
	"database/sql"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

func (s suite) testFreshDialects(t *testing.T) {
	db := s.open(t)
	first, second := db.drv.Dialect(), db.drv.Dialect()
	require.NotSame(t, first.Tables(), second.Tables(), "two engines would share their tables")
}

// testConnectorOpensNothing gives an address where nobody answers.
func (s suite) testConnectorOpensNothing(t *testing.T) {
	if !s.cfg.Network {
		return
	}
	nobody := via(t, s.url(t), closedAddr(t))
	start := time.Now()
	db := s.openURL(t, nobody)
	require.Less(t, time.Since(start), time.Second)
	require.Zero(t, db.Stats().OpenConnections)
}

type value struct {
	bun.BaseModel `bun:"table:drivertest_values"`

	ID      int64 `bun:",pk,autoincrement"`
	Text    string
	Bytes   []byte
	Integer int64
	Double  float64
	Flag    bool
}

func (s suite) testValuesComeBack(t *testing.T) {
	db := s.open(t)
	_, err := db.NewCreateTable().Model((*value)(nil)).Exec(t.Context())
	require.NoError(t, err)

	for _, text := range []string{"", "plain", `it's "quoted" and \ escaped`, "line\nbreak\ttab\r", "Zoë 日本 🎉", `\'; --`, `%_?$1`} {
		want := &value{Text: text, Bytes: []byte("\x00\xff" + text), Integer: math.MinInt64, Double: -1.5e30, Flag: true}
		_, err := db.NewInsert().Model(want).Exec(t.Context())
		require.NoError(t, err, "%q", text)
		require.NotZero(t, want.ID, "the key was not written back")

		got := new(value)
		require.NoError(t, db.NewSelect().Model(got).Where("id = ?", want.ID).Scan(t.Context()))
		require.Equal(t, want, got)
	}
}

// testPayloadsStayValues stores what would be dangerous outside a literal,
// NUL and invalid UTF-8 among it: it comes back as it was or is refused.
func (s suite) testPayloadsStayValues(t *testing.T) {
	db := s.open(t)
	_, err := db.NewCreateTable().Model((*value)(nil)).Exec(t.Context())
	require.NoError(t, err)
	db.exec(t, "CREATE TABLE canary (id integer)")

	for _, payload := range []string{
		"'; DROP TABLE canary; --", `\'; DROP TABLE canary; --`, `"; DROP TABLE canary; --`, "`; DROP TABLE canary; --",
		"\x00'; DROP TABLE canary; --", "a\x00b", "\\", "\\\\'", "''", "/*", "*/", "$$", "$1", "?", "?0", "E'\\'",
		"\xbf'; DROP TABLE canary; --", "\xbf\x27", strings.Repeat("'", 1001), strings.Repeat(`\`, 1001),
	} {
		want := &value{Text: payload}
		if _, err := db.NewInsert().Model(want).Exec(t.Context()); err != nil {
			continue
		}
		var got string
		require.NoError(t, db.NewSelect().Model((*value)(nil)).Column("text").Where("id = ?", want.ID).Scan(t.Context(), &got))
		require.Equal(t, strings.ToValidUTF8(payload, "\ufffd"), strings.ToValidUTF8(got, "\ufffd"), "%q", payload)
	}
	require.Zero(t, db.count(t, "canary"))
}

func (s suite) testTimesComeBack(t *testing.T) {
	db := s.open(t)
	column := "timestamp"
	if namer, ok := db.drv.(driver.TypeNamer); ok {
		column = namer.TypeName("datetime")
	}
	db.exec(t, "CREATE TABLE moments (id integer, at "+column+" NOT NULL)")

	for i, want := range []time.Time{
		time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC),
		time.Date(2024, 7, 1, 1, 2, 3, 0, time.FixedZone("east", 5*3600)),
		time.Date(1971, 1, 1, 0, 0, 0, 0, time.FixedZone("west", -9*3600)),
	} {
		_, err := db.NewRaw("INSERT INTO moments (id, at) VALUES (?, ?)", i, want).Exec(t.Context())
		require.NoError(t, err)
		var got time.Time
		require.NoError(t, db.NewRaw("SELECT at FROM moments WHERE id = ?", i).Scan(t.Context(), &got))
		require.True(t, want.Equal(got), "wrote %s, read %s", want, got)
	}
}

func (s suite) testNamesTypes(t *testing.T) {
	db := s.open(t)
	namer, ok := db.drv.(driver.TypeNamer)
	if !ok {
		return
	}
	for _, kind := range []string{"text", "largebinary", "datetime", "json", "uuid"} {
		name := namer.TypeName(kind)
		require.NotEmpty(t, name, kind)
		db.exec(t, "CREATE TABLE type_"+kind+" (v "+name+")")
	}
}

func (s suite) testClassifiesViolations(t *testing.T) {
	db := s.open(t)
	db.exec(t,
		"CREATE TABLE parents (id integer NOT NULL PRIMARY KEY)",
		"CREATE TABLE children (id integer NOT NULL PRIMARY KEY, parent integer, name varchar(20) NOT NULL UNIQUE, age integer, "+
			"CONSTRAINT old CHECK (age > 17), FOREIGN KEY (parent) REFERENCES parents (id))",
		"INSERT INTO parents (id) VALUES (1)",
		"INSERT INTO children (id, parent, name, age) VALUES (1, 1, 'ann', 20)",
	)
	for name, test := range map[string]struct {
		statement string
		class     driver.Class
	}{
		"primary key":           {"INSERT INTO children (id, parent, name, age) VALUES (1, 1, 'bob', 20)", driver.Unique},
		"unique":                {"INSERT INTO children (id, parent, name, age) VALUES (2, 1, 'ann', 20)", driver.Unique},
		"missing parent":        {"INSERT INTO children (id, parent, name, age) VALUES (2, 7, 'bob', 20)", driver.ForeignKey},
		"parent with children":  {"DELETE FROM parents WHERE id = 1", driver.ForeignKey},
		"null":                  {"INSERT INTO children (id, parent, name, age) VALUES (2, 1, NULL, 20)", driver.NotNull},
		"check":                 {"INSERT INTO children (id, parent, name, age) VALUES (2, 1, 'bob', 3)", driver.Check},
		"no violation: a table": {"INSERT INTO nowhere (id) VALUES (1)", 0},
	} {
		_, err := db.ExecContext(t.Context(), test.statement)
		require.Error(t, err, name)
		require.Equal(t, test.class, db.drv.Classify(err), "%s: %v", name, err)
		require.Equal(t, test.class, db.drv.Classify(wrapped{err}), "%s, wrapped", name)
		requireNoValues(t, db.drv, err)
	}
	require.Equal(t, 1, db.count(t, "children"))
}

// requireNoValues asserts that nothing that is explained of an error has the
// values of those statements.
func requireNoValues(t *testing.T, drv driver.Driver, err error) {
	t.Helper()
	x, ok := drv.(driver.Explainer)
	if !ok {
		return
	}
	explained := false
	for ; err != nil; err = errors.Unwrap(err) {
		text, own := x.Explain(err)
		require.NotRegexp(t, `\b(ann|bob)\b`, text)
		explained = explained || own
	}
	require.True(t, explained, "a violation is an error of the server")
	_, own := x.Explain(errors.New("something else"))
	require.False(t, own)
}

type wrapped struct{ error }

func (w wrapped) Unwrap() error { return w.error }

func (s suite) testClassifiesNothingElse(t *testing.T) {
	db := s.open(t)
	for _, err := range []error{nil, errors.New("something else"), sql.ErrNoRows, sql.ErrTxDone} {
		require.Zero(t, db.drv.Classify(err), "%v", err)
	}
}
