package pgx

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/echobun/echobun/internal/sqltext"
)

// Explain says what a server's error means, without the values that it quotes.
// Its message is shown if that is in the server's own English words. It may be
// in any language, for lc_messages, and in those of whoever wrote a function.
func (postgres) Explain(err error) (text string, ok bool) {
	e, ok := err.(*pgconn.PgError) //nolint:errorlint // Of this error, not of what it wraps.
	if !ok {
		return "", false
	}
	return severityOf(e) + ": " + explain(e) + " (SQLSTATE " + codeOf(e) + ")", true
}

// severities are all there are of errors.
var severities = [...]string{"FATAL", "PANIC"}

func severityOf(e *pgconn.PgError) string {
	for _, s := range severities {
		if e.SeverityUnlocalized == s || e.Severity == s {
			return s
		}
	}
	return "ERROR"
}

// codeOf is the SQLSTATE, which a function may have made up.
func codeOf(e *pgconn.PgError) string {
	strange := func(r rune) bool { return (r < '0' || '9' < r) && (r < 'A' || 'Z' < r) }
	if len(e.Code) != 5 || strings.ContainsFunc(e.Code, strange) {
		return "?"
	}
	return e.Code
}

func explain(e *pgconn.PgError) string {
	names := namesOf(e)
	if text, ok := known(e, names); ok {
		return text
	}
	parts := []string{condition(e.Code)}
	for _, n := range names {
		if n.name != "" {
			parts = append(parts, n.what+" "+strconv.Quote(n.name))
		}
	}
	return strings.Join(parts, ", ")
}

// A nameOf is a name that a field of an error has.
type nameOf struct{ what, name, stand string }

// namesOf returns the names that the server itself gives in fields: for
// violated constraints. What a function raises has none that can be trusted.
func namesOf(e *pgconn.PgError) []nameOf {
	if isRaised(e) || !strings.HasPrefix(e.Code, "23") {
		return nil
	}
	return []nameOf{
		{"constraint", e.ConstraintName, "<!>"},
		{"column", e.ColumnName, "<!!>"},
		{"table", e.TableName, "<!!!>"},
	}
}

// known returns the message, if it is in known words around such names.
func known(e *pgconn.PgError, names []nameOf) (text string, ok bool) {
	if isRaised(e) {
		return "", false
	}
	message := e.Message
	for _, n := range names {
		if n.name != "" {
			message = strings.ReplaceAll(message, `"`+n.name+`"`, n.stand)
		}
	}
	if text, ok = sqltext.Known(message); !ok {
		return "", false
	}
	for _, n := range names {
		text = strings.ReplaceAll(text, n.stand, strconv.Quote(n.name))
	}
	return text, true
}

// isRaised reports whether the error is that of a function in PL/pgSQL, whose
// words may be anything.
func isRaised(e *pgconn.PgError) bool {
	return strings.HasPrefix(e.Code, "P0") || strings.HasPrefix(e.Routine, "exec_stmt_") || strings.HasPrefix(e.Routine, "PLy_")
}

// condition returns what the documentation calls a code, or its class.
func condition(code string) string {
	if name, ok := conditions[code]; ok {
		return name
	}
	if len(code) == 5 {
		if name, ok := conditions[code[:2]]; ok {
			return name
		}
	}
	return "error"
}

// conditions are names of codes that applications meet, and of classes.
var conditions = map[string]string{
	"08": "connection exception", "0A": "feature not supported", "21": "cardinality violation", "22": "data exception",
	"23": "integrity constraint violation", "25": "invalid transaction state", "26": "invalid statement name",
	"28": "invalid authorization", "2B": "dependent objects still exist", "3D": "invalid catalog name", "3F": "invalid schema name",
	"40": "transaction rollback", "42": "syntax error or access rule violation", "44": "check option violation",
	"53": "insufficient resources", "54": "program limit exceeded", "55": "object not in prerequisite state",
	"57": "operator intervention", "58": "system error", "P0": "raised by a function", "XX": "internal error",

	"22001": "value too long", "22003": "numeric value out of range", "22004": "null value not allowed", "22007": "invalid datetime format",
	"22008": "datetime field overflow", "22012": "division by zero", "22021": "character not in repertoire", "22023": "invalid parameter value",
	"22025": "invalid escape sequence", "2201B": "invalid regular expression", "22P02": "invalid text representation",
	"22P03": "invalid binary representation", "22P05": "untranslatable character", "22032": "invalid JSON text",

	"23001": "restrict violation", "23502": "not-null violation", "23503": "foreign-key violation", "23505": "unique violation",
	"23514": "check violation", "23P01": "exclusion violation", "25006": "read-only transaction", "25P02": "transaction is aborted",
	"28000": "invalid authorization", "28P01": "invalid password", "40001": "serialization failure", "40P01": "deadlock detected",

	"42501": "insufficient privilege", "42601": "syntax error", "42701": "duplicate column", "42702": "ambiguous column",
	"42703": "undefined column", "42704": "undefined object", "42803": "grouping error", "42804": "datatype mismatch",
	"42883": "undefined function", "42P01": "undefined table", "42P07": "duplicate table", "42P08": "ambiguous parameter",
	"42P10": "invalid column reference", "42P18": "indeterminate datatype",

	"53100": "disk full", "53200": "out of memory", "53300": "too many connections", "54000": "program limit exceeded",
	"55000": "object not in prerequisite state", "55006": "object in use", "55P03": "lock not available", "57014": "query canceled",
	"57P01": "admin shutdown", "57P02": "crash shutdown", "57P03": "cannot connect now", "57P05": "idle session timeout",
}
