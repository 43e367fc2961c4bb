package echobun

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/echobun/echobun/driver"
)

// maxName is the longest name in bytes: PostgreSQL's limit, the shortest of
// the databases'.
const maxName = 63

// checkName returns an error unless name can be the name of a table, a column
// or an index on every database. What says which it is.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s without a name", what)
	case len(name) > maxName:
		return fmt.Errorf("%s name %q has %d bytes: use at most %d", what, name[:maxName]+"...", len(name), maxName)
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && (i == 0 || !isDigit(c) && c != '$') {
			return fmt.Errorf("%s name %q: use only letters, digits, _ and $, and no digit or $ first", what, name)
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// shorten returns name if it is short enough, else its beginning and a hash.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("%s_%08x", name[:maxName-9], h.Sum32())
}

// splitName splits a name into its schema, which may be empty, and the rest.
// Before a dot it may not: see checkQualified.
func splitName(name string) (schema, rest string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// checkQualified returns an error unless name can be that of a table, with or
// without a schema. A schema that is empty before its dot is no name: it would
// be taken for none at all.
func checkQualified(name string) error {
	schema, rest := splitName(name)
	err := checkName("table", rest)
	if schema != "" || rest != name {
		err = errors.Join(err, checkName("schema", schema))
	}
	return err
}

// fullName returns a table's name with its schema, as Bun takes it.
func fullName(name driver.TableName) string {
	if name.Schema == "" {
		return name.Name
	}
	return name.Schema + "." + name.Name
}
