package mysql

import (
	"slices"
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// withCounterKey adds an index to a new table whose AUTO_INCREMENT column has
// none that begins with it, as in a composite primary key that begins with
// another column: InnoDB refuses the table without.
func withCounterKey(query string) string {
	if !strings.Contains(query, "AUTO_INCREMENT") { // As Bun writes it.
		return query
	}
	s := sqlwords.MySQL.Scan(query)
	for word := s.Next(); word != "("; word = s.Next() {
		if word == "" {
			return query
		}
	}
	var k counterKeys
	end := k.read(query, &s)
	if end < 0 || k.counter == "" || slices.Contains(k.firsts, strings.ToLower(k.counter)) {
		return query
	}
	return query[:end] + ", KEY (`" + k.counter + "`)" + query[end:]
}

// counterKeys are what a list of columns says of the one that counts.
type counterKeys struct {
	counter string
	firsts  []string // The first column of each index, in lower case.
}

// read reads the list. It returns where its bracket is closed, or -1.
func (k *counterKeys) read(query string, s *sqlwords.Scanner) (end int) {
	var column string // Whose definition it is; empty for that of an index.
	first := true     // Word of a definition.
	for depth := 1; depth > 0; {
		word := s.Next()
		switch {
		case word == "":
			return -1
		case word == "(":
			depth++
		case word == ")":
			depth--
		case word == "," && depth == 1:
			first = true
			continue
		case depth > 1:
		case first && (s.Quoted() || !sqlwords.Is(word, "primary", "unique", "key", "index", "constraint")):
			column = word
		case first:
			column = ""
			k.index(word, *s)
		case !s.Quoted() && sqlwords.Is(word, "auto_increment"):
			k.counter = column
		case !s.Quoted() && sqlwords.Is(word, "primary", "unique", "key"):
			k.firsts = append(k.firsts, strings.ToLower(column))
		}
		first = false
	}
	return len(query) - len(s.Rest()) - 1
}

// index notes the first column of an index that is a definition of its own.
func (k *counterKeys) index(word string, rest sqlwords.Scanner) {
	for ; word != "("; word = rest.Next() {
		if word == "" || sqlwords.Is(word, "foreign", "check") {
			return
		}
	}
	k.firsts = append(k.firsts, strings.ToLower(rest.Next()))
}
