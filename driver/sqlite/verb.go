package sqlite

import "strings"

// A verb says what a text of SQL does to locks and transactions, as far as
// that shows without running it.
type verb uint8

const (
	writes   verb = 1 << iota // Needs the lock of a writer.
	begins                    // Begins a transaction, as a SAVEPOINT does outside of one.
	releases                  // Ends a savepoint, and with the outermost one the transaction.
	commits                   // Ends the transaction.
	rolls                     // Ends the transaction, and drops what it did.
	script                    // Several statements.
	hasNUL                    // Holds a NUL byte, where SQLite would stop reading.
	lingers                   // Leaves something in its connection.

	ends     = commits | rolls
	controls = begins | releases | ends
)

// verbOf goes by the first word of each statement: neither SQLite's C
// interface nor modernc.org/sqlite says beforehand what a text will do.
// In doubt it says that a statement writes, which costs no more than a wait.
func verbOf(query string) verb {
	var v verb
	if strings.IndexByte(query, 0) >= 0 {
		v |= hasNUL
	}
	s := scanner{rest: query}
	for first := true; ; first = false {
		word := s.next()
		for word == ";" {
			word = s.next()
		}
		if word == "" {
			return v
		}
		if !first {
			v |= script
		}
		v |= s.statement(word)
		if !s.skip() {
			return v
		}
	}
}

// statement judges a statement by its first word, and may read on in it.
func (s *scanner) statement(word string) verb {
	switch {
	case is(word, "SELECT"), is(word, "VALUES"), is(word, "EXPLAIN"):
		return 0
	case is(word, "ATTACH"), is(word, "DETACH"):
		return lingers
	case is(word, "CREATE"):
		return s.create()
	case is(word, "WITH"):
		return s.afterWith()
	case is(word, "PRAGMA"):
		return s.pragma()
	case is(word, "BEGIN"):
		if mode := s.peek(); is(mode, "IMMEDIATE") || is(mode, "EXCLUSIVE") {
			return begins | writes
		}
		return begins
	case is(word, "SAVEPOINT"):
		return begins
	case is(word, "RELEASE"):
		return releases
	case is(word, "COMMIT"), is(word, "END"):
		return commits
	case is(word, "ROLLBACK"):
		return s.rollback()
	default:
		return writes
	}
}

// afterWith looks for the verb behind the common table expressions, whose own
// verbs are in brackets.
func (s *scanner) afterWith() verb {
	for depth := 0; ; {
		switch word := s.peek(); {
		case word == "", word == ";":
			return 0
		case word == "(":
			depth++
		case word == ")":
			depth--
		case depth > 0:
		case is(word, "SELECT"), is(word, "VALUES"):
			return 0
		case is(word, "INSERT"), is(word, "REPLACE"), is(word, "UPDATE"), is(word, "DELETE"):
			return writes
		}
		s.next()
	}
}

// rollback tells ROLLBACK TO a savepoint, which ends nothing.
func (s *scanner) rollback() verb {
	word := s.peek()
	if is(word, "TRANSACTION") {
		s.next()
		word = s.peek()
	}
	if is(word, "TO") {
		return 0
	}
	return rolls
}

// create tells what is made for its connection alone: TEMP, or in the schema temp.
func (s *scanner) create() verb {
	if word := s.peek(); is(word, "TEMP") || is(word, "TEMPORARY") {
		return writes | lingers
	}
	for {
		switch word := s.peek(); {
		case is(word, "UNIQUE"), is(word, "VIRTUAL"), is(word, "TABLE"), is(word, "INDEX"), is(word, "VIEW"), is(word, "TRIGGER"),
			is(word, "IF"), is(word, "NOT"), is(word, "EXISTS"):
			s.next()
			continue
		}
		if is(s.name(), "TEMP") && s.peek() == "." {
			return writes | lingers
		}
		return writes
	}
}

// pragma judges a pragma by its name, and by whether it has an argument.
func (s *scanner) pragma() verb {
	name := s.next()
	if s.peek() == "." {
		s.next()
		name = s.next()
	}
	name = strings.ToLower(name)
	if after := s.peek(); after != "=" && after != "(" {
		if writingPragmas[name] {
			return writes
		}
		return 0
	}
	switch {
	case readingPragmas[name]:
		return 0
	case ownPragmas[name]:
		return lingers
	case filePragmas[name] || writingPragmas[name]:
		return writes
	default:
		return writes | lingers
	}
}

var (
	// writingPragmas write without an argument.
	writingPragmas = map[string]bool{
		"incremental_vacuum": true, "optimize": true, "wal_checkpoint": true,
	}

	// filePragmas change the file, for every connection.
	filePragmas = map[string]bool{"application_id": true, "user_version": true}

	// readingPragmas change nothing, whatever their argument is.
	readingPragmas = map[string]bool{
		"foreign_key_check": true, "foreign_key_list": true, "index_info": true, "index_list": true, "index_xinfo": true,
		"integrity_check": true, "quick_check": true, "table_info": true, "table_list": true, "table_xinfo": true,
	}

	// ownPragmas change nothing but their connection.
	ownPragmas = map[string]bool{
		"busy_timeout": true, "cache_size": true, "cache_spill": true, "case_sensitive_like": true,
		"defer_foreign_keys": true, "foreign_keys": true, "ignore_check_constraints": true, "mmap_size": true,
		"query_only": true, "recursive_triggers": true, "temp_store": true, "threads": true,
	}
)

func is(word, keyword string) bool {
	return len(word) == len(keyword) && strings.EqualFold(word, keyword)
}
