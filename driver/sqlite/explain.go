package sqlite

import (
	"fmt"
	"regexp"
	"strings"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/echobun/echobun/internal/sqltext"
)

// Explain says what an error of SQLite means, without values that it quotes.
// Its message is shown if that is of a constraint, names what is missing, or is
// in SQLite's own words. What RAISE says is in those of whoever wrote the trigger.
func (sqliteDriver) Explain(err error) (text string, ok bool) {
	e, ok := err.(*modernc.Error) //nolint:errorlint // Of this error, not of what it wraps.
	if !ok {
		return "", false
	}
	message := strings.TrimSuffix(e.Error(), fmt.Sprintf(" (%d)", e.Code()))
	return fmt.Sprintf("%s (%d)", explain(message, e.Code()), e.Code()), true
}

func explain(message string, code int) string {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER, sqlite3.SQLITE_CONSTRAINT_FUNCTION, sqlite3.SQLITE_CONSTRAINT_VTAB:
		if !strings.HasSuffix(message, ": FOREIGN KEY constraint failed") {
			return "constraint failed: raised by a trigger"
		}
	}
	if code&0xff == sqlite3.SQLITE_CONSTRAINT {
		return sqltext.ScrubMessage(message) // All else in it is from the schema.
	}
	if ofName.MatchString(message) {
		return message
	}
	if text, ok := sqltext.Known(message); ok {
		return text
	}
	if meaning, ok := modernc.ErrorCodeString[code&0xff]; ok {
		return meaning
	}
	return "error"
}

// ofName is a message about a name that the statement has. Names stand in
// statements, which are shown without their values; so they are no values.
var ofName = regexp.MustCompile(`^(SQL logic error: )?(no such (table|column|function|index|collation sequence|view|savepoint): [\pL_][\pL\d_.$]{0,127}` +
	`|(table|index|view|trigger) [\pL_][\pL\d_.$]{0,127} already exists` +
	`|table [\pL_][\pL\d_.$]{0,127} has no column named [\pL_][\pL\d_.$]{0,127}` +
	`|ambiguous column name: [\pL_][\pL\d_.$]{0,127})$`)
