// Package sqltext tells what a statement is without telling what is in it: for
// logs, records and traces.
package sqltext

import (
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/sqlwords"
)

// Template returns a statement with placeholders in place of its arguments,
// and of literals that it was written with. Of a builder's statement it takes
// the text that was sent: to have the builder write another one would run what
// its arguments and its model are made of a second time, over a model that the
// answer has changed meanwhile.
func Template(event *bun.QueryEvent) string {
	d := Words(event.DB.Dialect().Name())
	switch q := event.IQuery.(type) {
	case nil:
		return Scrub(event.QueryTemplate, d)
	case *bun.RawQuery:
		b, err := q.AppendQuery(schema.NewNopQueryGen(), nil) // As it was given: its arguments are left alone.
		if err != nil {
			return q.Operation()
		}
		return Scrub(string(b), d)
	}
	return Shape(Scrub(event.Query, d))
}

// Words is how a kind of database writes statements. What is not known is taken
// to write them as PostgreSQL does, which is the standard's way.
func Words(name dialect.Name) sqlwords.Dialect {
	switch name {
	case dialect.MySQL:
		return sqlwords.MySQL
	case dialect.SQLite:
		return sqlwords.SQLite
	default:
		return sqlwords.Postgres
	}
}
