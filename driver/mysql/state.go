package mysql

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// leavesState reports whether a text may leave something in the session when
// it has run: a variable, another database, a temporary table, a lock, a
// prepared statement. The server tells of an open transaction by itself. It
// goes by what is written: what a function does inside is not seen, nor is a
// user variable that is assigned in a SELECT. A procedure can do anything.
func leavesState(query string) bool {
	if !deservesALook(query) {
		return false
	}
	s := sqlwords.MySQL.Scan(query)
	for word := s.Next(); word != ""; word = s.Next() {
		if beginsState(word, &s) {
			return true
		}
		for ; word != "" && word != ";"; word = s.Next() {
			if sqlwords.Is(word, "get_lock") && s.Peek() == "(" {
				return true
			}
		}
	}
	return false
}

// deservesALook reports whether a text has to be read word by word. Most show
// quickly that they need not.
func deservesALook(query string) bool {
	s := sqlwords.MySQL.Scan(query)
	if sqlwords.Is(s.Next(), "select", "insert", "update", "delete", "replace", "with", "begin", "start", "commit",
		"rollback", "savepoint", "release", "(") {
		return strings.IndexByte(query, ';') >= 0 || sqlwords.Around(query, "get", "lock")
	}
	return true
}

// beginsState judges a statement by its first words.
func beginsState(word string, s *sqlwords.Scanner) bool {
	switch {
	case sqlwords.Is(word, "set"):
		return !sqlwords.Is(s.Peek(), "statement") || setsFor(*s)
	case sqlwords.Is(word, "create"):
		return createsState(*s)
	case sqlwords.Is(word, "begin"):
		return sqlwords.Is(s.Peek(), "not") // NOT ATOMIC: MariaDB's compound statement.
	case sqlwords.Is(word, "execute"):
		return sqlwords.Is(s.Peek(), "immediate")
	case sqlwords.Is(word, "flush"):
		return true // FLUSH TABLES ... WITH READ LOCK.
	}
	return sqlwords.Is(word, "use", "call", "lock", "prepare", "deallocate", "handler", "backup", "if", "case", "for", "loop", "repeat", "while")
}

// setsFor judges the statement that MariaDB's SET STATEMENT ... FOR is for.
func setsFor(s sqlwords.Scanner) bool {
	for word := s.Next(); word != "" && word != ";"; word = s.Next() {
		if !sqlwords.Is(word, "for") {
			continue
		}
		if rest := s; beginsState(rest.Next(), &rest) {
			return true
		}
	}
	return false
}

// createsState reports CREATE [OR REPLACE] TEMPORARY.
func createsState(s sqlwords.Scanner) bool {
	word := s.Next()
	if sqlwords.Is(word, "or") {
		s.Next()
		word = s.Next()
	}
	return sqlwords.Is(word, "temporary")
}
