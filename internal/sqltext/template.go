// Package sqltext tells what a statement is without telling what is in it: for
// logs, records and traces.
package sqltext

import (
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// Template returns a statement with placeholders in place of its arguments,
// and of literals that it was written with.
func Template(event *bun.QueryEvent) string {
	text := event.QueryTemplate
	if event.IQuery != nil {
		b, err := event.IQuery.AppendQuery(schema.NewQueryGen(templateDialect{event.DB.Dialect()}), nil)
		if err != nil {
			return event.IQuery.Operation()
		}
		text = string(b)
	}
	return Scrub(text, event.DB.Dialect().IdentQuote() == '`')
}

// templateDialect makes Bun leave out arguments, as its own dialect for
// templates does, but quotes names as the database wants it.
type templateDialect struct{ schema.Dialect }

// Name tells Bun that there is no database.
func (templateDialect) Name() dialect.Name { return dialect.Invalid }
