package pgx

import (
	"context"
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
	"github.com/echobun/echobun/internal/wire"
)

// reported are the settings of a session that the server tells of by itself,
// also when a function has changed them, in the versions that do.
var reported = [...]string{
	"application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "IntervalStyle",
	"is_superuser", "search_path", "session_authorization", "TimeZone",
}

// A session is what a connection remembers of its session's state, so that it
// is not handed to the next borrower with the state of the last one.
type session struct {
	changed  bool // A statement has left something behind.
	known    bool // Reported is set.
	reported [len(reported)]string
}

// note looks at a statement that is about to be sent.
func (c *conn) note(ctx context.Context, query string) {
	s := &c.session
	if s.changed || wire.OwnSession(ctx) {
		return
	}
	if !s.known {
		s.known = true
		for i, name := range reported {
			s.reported[i] = c.pgc.ParameterStatus(name)
		}
	}
	s.changed = leavesState(query)
}

// stateless reports whether the session is as it was when the connection was
// made, as far as the statements and the server tell.
func (c *conn) stateless() bool {
	s := &c.session
	if s.changed {
		return false
	}
	if !s.known {
		return true
	}
	for i, name := range reported {
		if c.pgc.ParameterStatus(name) != s.reported[i] {
			return false
		}
	}
	return true
}

// leavesState reports whether a text may leave something in the session when
// its transaction has ended: a setting, a temporary table, an advisory lock, a
// prepared statement, a channel it listens to. It goes by what is written:
// what a function does inside is not seen.
func leavesState(query string) bool {
	if !deservesALook(query) {
		return false
	}
	s := sqlwords.Postgres.Scan(query)
	for more := true; more; {
		var found bool
		if found, more = statementLeavesState(&s); found {
			return true
		}
	}
	return false
}

// deservesALook reports whether a text has to be read word by word. Most show
// quickly that they need not.
func deservesALook(query string) bool {
	s := sqlwords.Postgres.Scan(query)
	switch word := s.Next(); {
	case sqlwords.Is(word, "insert", "update", "delete", "merge", "begin", "commit", "rollback", "savepoint", "release"):
	case sqlwords.Is(word, "select", "with", "table", "values", "("):
		if containsTemp(query) {
			return true
		}
	default:
		return true
	}
	return strings.IndexByte(query, ';') >= 0 ||
		sqlwords.Around(query, "pg", "advisory_lock", "try_advisory_lock", "temp", "settings") || sqlwords.Around(query, "set", "config")
}

// containsTemp looks for the word in any case.
func containsTemp(query string) bool {
	for _, m := range []byte("mM") {
		for at := 2; at < len(query); at++ {
			next := strings.IndexByte(query[at:], m)
			if next < 0 {
				break
			}
			at += next
			if at+1 < len(query) && strings.EqualFold(query[at-2:at+2], "temp") {
				return true
			}
		}
	}
	return false
}

// statementLeavesState reads up to the end of a statement. It reports whether
// the statement leaves state, and whether another one may follow.
func statementLeavesState(s *sqlwords.Scanner) (found, more bool) {
	word := s.Next()
	if beginsState(word, s) {
		return true, true
	}
	first := word
	var before, last string
	for ; word != "" && word != ";"; before, last, word = last, word, s.Next() {
		if leaves(before, last, word, s) || sqlwords.Is(word, "pg_settings") && sqlwords.Is(first, "update", "with") {
			return true, true
		}
	}
	return false, word == ";"
}

// beginsState judges a statement by its first words.
func beginsState(word string, s *sqlwords.Scanner) bool {
	switch {
	case sqlwords.Is(word, "set"):
		return !setsForTransaction(*s)
	case sqlwords.Is(word, "prepare"):
		return !sqlwords.Is(s.Peek(), "transaction")
	case sqlwords.Is(word, "declare"):
		return has(*s, "hold")
	}
	// DO and CALL can do anything.
	return sqlwords.Is(word, "reset", "discard", "listen", "unlisten", "load", "do", "call", "deallocate")
}

// setsForTransaction reports whether a SET ends with its transaction, by the
// word that follows. SET local.tenant is a setting of the class "local".
func setsForTransaction(s sqlwords.Scanner) bool {
	return sqlwords.Is(s.Next(), "local", "transaction", "constraints") && s.Peek() != "."
}

// leaves judges a word in a statement by those before and behind it.
func leaves(before, last, word string, s *sqlwords.Scanner) bool {
	switch {
	case sqlwords.Is(word, "temp", "temporary"):
		made := sqlwords.Is(last, "create", "replace", "local", "global") ||
			sqlwords.Is(last, "into") && !sqlwords.Is(before, "insert", "merge")
		return made && !has(*s, "on", "commit", "drop")
	case sqlwords.Is(word, "pg_temp"):
		return true
	case sqlwords.Is(word, "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"):
		return s.Peek() == "("
	case sqlwords.Is(word, "set_config"):
		return s.Peek() == "(" && !endsTrue(*s)
	}
	return false
}

// has reports whether words follow one another in the rest of a statement.
func has(s sqlwords.Scanner, words ...string) bool {
	matched := 0
	for word := s.Next(); word != "" && word != ";"; word = s.Next() {
		if !sqlwords.Is(word, words[matched]) {
			matched = 0
		}
		if sqlwords.Is(word, words[matched]) {
			matched++
		}
		if matched == len(words) {
			return true
		}
	}
	return false
}

// endsTrue reports whether true alone is the last argument of the call that
// follows, which for set_config means until the end of the transaction.
func endsTrue(s sqlwords.Scanner) bool {
	depth := 0
	var before, last string
	for word := s.Next(); word != ""; before, last, word = last, word, s.Next() {
		switch word {
		case "(":
			depth++
		case ")":
			if depth--; depth <= 0 {
				return before == "," && sqlwords.Is(last, "true")
			}
		}
	}
	return false
}
