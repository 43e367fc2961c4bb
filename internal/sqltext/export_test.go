package sqltext

import (
	"strings"

	"github.com/echobun/echobun/internal/sqlwords"
)

// Listed returns the words that brackets may follow on without harm: those of
// the language, and the functions of a database's own.
func Listed(d sqlwords.Dialect) (language, functions []string) {
	own := ofPostgres
	if d == sqlwords.MySQL {
		own = ofMySQL
	}
	return strings.Fields(signs), strings.Fields(ofBoth + own)
}
