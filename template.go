package echobun

import (
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/sqltext"
)

// template returns a statement with placeholders in place of its arguments,
// and of literals that it was written with.
func template(event *bun.QueryEvent) string { return sqltext.Template(event) }

// operation names what a statement does: "SELECT", "CREATE TABLE".
func operation(query string) string { return sqltext.Operation(query) }

// scrubMessage takes what an error message quotes out of it.
func scrubMessage(message string) string { return sqltext.ScrubMessage(message) }
