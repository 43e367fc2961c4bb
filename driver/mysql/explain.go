package mysql

import (
	"fmt"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/internal/sqltext"
)

// errSignal is the number of what SIGNAL raises, unless it says another.
const errSignal = 1644

// Explain says what a server's error means, without the values that it quotes.
// Its message is shown if that is in the server's own English words; in another
// language, as lc_messages may have it, it is what the number stands for. What
// SIGNAL raises is in the words of whoever wrote the trigger.
func (mysqlDriver) Explain(err error) (text string, ok bool) {
	e, ok := err.(*gomysql.MySQLError) //nolint:errorlint // Of this error, not of what it wraps.
	if !ok {
		return "", false
	}
	return fmt.Sprintf("Error %d%s: %s", e.Number, stateOf(e), explain(e)), true
}

// stateOf is the SQLSTATE in brackets, unless something else is in its place.
func stateOf(e *gomysql.MySQLError) string {
	for _, c := range e.SQLState {
		if (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) {
			return ""
		}
	}
	return fmt.Sprintf(" (%s)", e.SQLState[:])
}

func explain(e *gomysql.MySQLError) string {
	if e.Number == errSignal || string(e.SQLState[:]) == "45000" {
		return "raised by SIGNAL"
	}
	if text, ok := sqltext.Known(e.Message); ok {
		return text
	}
	if text, ok := meanings[e.Number]; ok {
		return text
	}
	return "error of the server"
}

// meanings are those of numbers that applications meet.
var meanings = map[uint16]string{
	1021: "disk full", 1036: "table is read-only", 1040: "too many connections", 1044: "access to the database denied",
	1045: "access denied", 1046: "no database selected", 1048: "column cannot be null", 1049: "unknown database",
	1050: "table already exists", 1051: "unknown table", 1052: "column is ambiguous", 1053: "server shutdown in progress",
	1054: "unknown column", 1055: "not in GROUP BY", 1061: "duplicate key name", 1062: "duplicate entry", 1064: "syntax error",
	1091: "cannot drop, does not exist", 1093: "table is read and written", 1105: "unknown error", 1114: "table is full",
	1136: "column count does not match value count", 1142: "command denied", 1146: "table does not exist", 1153: "packet too large",
	1169: "unique constraint violated", 1171: "primary key must not be null", 1203: "too many connections of the user",
	1205: "lock wait timeout", 1213: "deadlock", 1216: "foreign key constraint fails", 1217: "foreign key constraint fails",
	1226: "limit of the user exceeded", 1227: "access denied: privilege missing", 1241: "wrong number of columns",
	1242: "subquery returns more than one row", 1263: "null for a column that is not null", 1264: "value out of range",
	1265: "data truncated", 1267: "illegal mix of collations", 1290: "an option of the server prevents it", 1292: "incorrect value",
	1305: "routine does not exist", 1317: "query was interrupted", 1364: "column has no default value", 1365: "division by zero",
	1366: "incorrect value", 1406: "data too long", 1411: "incorrect value for a function", 1412: "table definition has changed",
	1426: "precision too big", 1451: "a child row refers to it", 1452: "parent row is missing", 1586: "duplicate entry",
	1690: "value out of range", 1792: "transaction is read-only", 1927: "connection was killed", 1969: "max_statement_time exceeded",
	3024: "max_execution_time exceeded", 3140: "invalid JSON text", 3572: "lock not available", 3819: "check constraint violated",
	3988: "character cannot be converted", 4025: "check constraint violated",
}
