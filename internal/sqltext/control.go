package sqltext

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// This file tells which texts would end the transaction that they are sent in,
// or begin another one. A text may be a script of several statements.

// An Ending is how a statement ends the transaction that it is sent in.
type Ending int

// The ways to end a transaction.
const (
	None     Ending = iota
	Controls        // It begins or ends a transaction.
	Commits         // MySQL and MariaDB commit before it, as before DDL.
)

// EndingOf returns the operation of the first statement of a text that would
// end the transaction, and how. What a procedure does inside is not seen.
func EndingOf(d sqlwords.Dialect, text string) (op string, how Ending) {
	script := isScript(text)
	if !script && isPlain(text) {
		return "", None
	}
	s := d.Scan(text)
	for word := s.Next(); word != ""; word = s.Next() {
		if word == ";" {
			continue
		}
		if how = ending(word, s); how != None {
			return operationOf(word, s), how
		}
		if d == sqlwords.MySQL && IsCompound(word, s) {
			return endingInside(&s)
		}
		if !script {
			break
		}
		skip(word, &s)
	}
	return "", None
}

// operationOf is [Operation] of one statement of a script.
func operationOf(first string, rest sqlwords.Scanner) string {
	statement, _, _ := strings.Cut(first+" "+rest.Rest(), ";")
	return Operation(statement)
}

// isScript reports whether there may be more than one statement.
func isScript(text string) bool {
	end := strings.IndexByte(text, ';')
	return end >= 0 && strings.TrimLeft(text[end:], "; \t\r\n") != ""
}

// isPlain tells most statements quickly.
func isPlain(query string) bool {
	if len(query) < 6 {
		return false
	}
	first := query[:6]
	return strings.EqualFold(first, "SELECT") || strings.EqualFold(first, "INSERT") ||
		strings.EqualFold(first, "UPDATE") || strings.EqualFold(first, "DELETE") || strings.EqualFold(first[:5], "WITH ")
}

// ending judges a statement by its first word, and by what follows that.
func ending(first string, rest sqlwords.Scanner) Ending {
	switch {
	case rest.Quoted(), rest.Dialect == sqlwords.MySQL && inExpression(rest):
		return None
	case controls(first, rest):
		return Controls
	case rest.Dialect == sqlwords.MySQL:
		return endingInMySQL(first, rest)
	}
	return None
}

// inExpression reports whether a word is a name in an expression, as in CASE ...
// THEN start ELSE commit END, or that of a label, by what follows it.
func inExpression(rest sqlwords.Scanner) bool {
	next := rest.Next()
	switch {
	case next == "" || rest.Quoted():
		return false
	case len(next) == 1:
		return strings.Contains("=<>+-*/%|&^!,.:)", next)
	}
	return sqlwords.Is(next, "else", "end", "when", "then", "is", "in", "like", "between", "as")
}

// controls reports whether a statement begins or ends a transaction.
func controls(first string, rest sqlwords.Scanner) bool {
	switch {
	case sqlwords.Is(first, "commit", "end", "abort"):
		return true
	case sqlwords.Is(first, "start"):
		return rest.Dialect != sqlwords.MySQL || sqlwords.Is(rest.Peek(), "transaction", "slave", "replica", "all", "group_replication")
	case sqlwords.Is(first, "xa"):
		return !sqlwords.Is(rest.Peek(), "recover")
	case sqlwords.Is(first, "begin"):
		return rest.Dialect != sqlwords.MySQL || !sqlwords.Is(rest.Peek(), "not") // NOT ATOMIC: a compound statement.
	case sqlwords.Is(first, "prepare"):
		return sqlwords.Is(rest.Peek(), "transaction")
	case sqlwords.Is(first, "rollback"):
		word := rest.Next()
		if sqlwords.Is(word, "work", "transaction") {
			word = rest.Next()
		}
		return !sqlwords.Is(word, "to") // A savepoint.
	}
	return false
}

// endingInMySQL finds what commits implicitly, and a SET that stands before a
// statement or switches autocommit on.
func endingInMySQL(first string, rest sqlwords.Scanner) Ending {
	switch {
	case commitsImplicitly(first, rest):
		return Commits
	case sqlwords.Is(first, "set") && sqlwords.Is(rest.Peek(), "statement"):
		for word := rest.Next(); word != "" && word != ";"; word = rest.Next() {
			if sqlwords.Is(word, "for") {
				first = rest.Next()
				return ending(first, rest)
			}
		}
	case sqlwords.Is(first, "set") && switchesAutocommitOn(rest):
		return Controls
	}
	return None
}

// commitsImplicitly reports whether MySQL or MariaDB commits before such a
// statement. Some do only if they succeed, and some on one of the two.
func commitsImplicitly(first string, rest sqlwords.Scanner) bool {
	second := rest.Next()
	switch {
	case sqlwords.Is(first, "create", "drop"):
		if sqlwords.Is(second, "or") { // REPLACE
			rest.Next()
			second = rest.Next()
		}
		if sqlwords.Is(second, "temporary") {
			return sqlwords.Is(first, "create") && sqlwords.Is(rest.Next(), "sequence")
		}
		return !sqlwords.Is(second, "prepare")
	case sqlwords.Is(first, "alter", "truncate", "rename", "lock", "grant", "revoke", "optimize", "repair", "check", "flush",
		"install", "uninstall", "cache", "change", "stop", "backup"):
		return true
	case sqlwords.Is(first, "analyze"):
		if sqlwords.Is(second, "no_write_to_binlog", "local") {
			second = rest.Next()
		}
		return sqlwords.Is(second, "table", "tables")
	case sqlwords.Is(first, "load"):
		return sqlwords.Is(second, "index")
	case sqlwords.Is(first, "import"):
		return sqlwords.Is(second, "table")
	case sqlwords.Is(first, "reset"):
		return !sqlwords.Is(second, "persist")
	case sqlwords.Is(first, "set"):
		return sqlwords.Is(second, "password") || sqlwords.Is(second, "default") && sqlwords.Is(rest.Next(), "role")
	}
	return false
}

// switchesAutocommitOn reports whether a SET does so for its session, which
// commits if it was off.
func switchesAutocommitOn(rest sqlwords.Scanner) bool {
	var before, last string
	for word := rest.Next(); word != "" && word != ";"; before, last, word = last, word, rest.Next() {
		switch {
		case !sqlwords.Is(word, "autocommit"):
		case last == "@" && before != "@": // A variable of the user's.
		case sqlwords.Is(last, "global", "persist", "persist_only"), last == "." && sqlwords.Is(before, "global", "persist", "persist_only"):
		case assignsOn(rest):
			return true
		}
	}
	return false
}

// assignsOn reports whether what comes next assigns something that may be on.
func assignsOn(rest sqlwords.Scanner) bool {
	sign := rest.Next()
	if sign == ":" {
		sign = rest.Next()
	}
	return sign == "=" && !sqlwords.Is(rest.Next(), "0", "off", "false")
}

// IsCompound reports whether a statement is one of MariaDB's that have others
// inside, by its first word and what follows that.
func IsCompound(first string, rest sqlwords.Scanner) bool {
	switch {
	case rest.Quoted():
		return false
	case sqlwords.Is(first, "begin"):
		return sqlwords.Is(rest.Peek(), "not")
	}
	return sqlwords.Is(first, "if", "case", "loop", "repeat", "while", "for") || rest.Peek() == ":" // A label.
}

// endingInside looks through a compound statement, and all that follows it.
// BEGIN and END are its own there.
func endingInside(s *sqlwords.Scanner) (op string, how Ending) {
	last := ";"
	for word := s.Next(); word != ""; last, word = word, s.Next() {
		starts := last == ";" || last == ":" ||
			sqlwords.Is(last, "then", "else", "do", "begin", "atomic", "loop", "repeat")
		if !starts || sqlwords.Is(word, "begin", "end") {
			continue
		}
		if how = ending(word, *s); how != None {
			return operationOf(word, *s), how
		}
	}
	return "", None
}

// skip reads on to the end of a statement. A trigger of SQLite's and a function
// of PostgreSQL's have others inside, and so has a rule, in brackets.
func skip(first string, s *sqlwords.Scanner) {
	switch {
	case s.Dialect == sqlwords.SQLite && isTrigger(first, *s):
		skipTrigger(s)
	case s.Dialect == sqlwords.Postgres:
		skipBlocks(s, isRoutine(first, *s))
	default:
		for word := s.Next(); word != "" && word != ";"; {
			word = s.Next()
		}
	}
}

func isTrigger(first string, rest sqlwords.Scanner) bool {
	word := rest.Next()
	if sqlwords.Is(word, "temp", "temporary") {
		word = rest.Next()
	}
	return sqlwords.Is(first, "create") && sqlwords.Is(word, "trigger")
}

// skipTrigger goes by SQLite's own rule: END between two semicolons.
func skipTrigger(s *sqlwords.Scanner) {
	var before, last string
	for word := s.Next(); word != ""; before, last, word = last, word, s.Next() {
		if word == ";" && sqlwords.Is(last, "end") && before == ";" {
			return
		}
	}
}

func isRoutine(first string, rest sqlwords.Scanner) bool {
	word := rest.Next()
	if sqlwords.Is(word, "or") { // REPLACE
		rest.Next()
		word = rest.Next()
	}
	return sqlwords.Is(first, "create") && sqlwords.Is(word, "function", "procedure")
}

// skipBlocks goes by psql's rule: what is in brackets, and in a routine between
// BEGIN and END, is inside.
func skipBlocks(s *sqlwords.Scanner, routine bool) {
	brackets, blocks := 0, 0
	for word := s.Next(); word != ""; word = s.Next() {
		switch {
		case s.Quoted():
		case word == "(":
			brackets++
		case word == ")":
			brackets = max(brackets-1, 0)
		case word == ";" && brackets == 0 && blocks == 0:
			return
		case !routine:
		case sqlwords.Is(word, "begin"), sqlwords.Is(word, "case") && blocks > 0:
			blocks++
		case sqlwords.Is(word, "end"):
			blocks = max(blocks-1, 0)
		}
	}
}
