package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gomysql "github.com/go-sql-driver/mysql"
)

// charset is the one character set that a connection speaks. Every string of
// Go's fits into it, and no byte of a letter in it can be taken for a
// backslash or a quote.
const charset = "utf8mb4"

// otherNames are those under which applications ask for UTF-8. MySQL means by
// them a set without the letters beyond U+FFFF: it answers "?" for an emoji,
// which the next UPDATE writes back.
var otherNames = []string{"utf8", "utf8mb3"}

// otherCharsets are the rest of those that MySQL and MariaDB have. A string
// would be taken for other letters, or lose those that the set does not have.
var otherCharsets = strings.Fields(`armscii8 ascii big5 binary cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932
	dec8 eucjpms euckr gb18030 gb2312 gbk geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7
	macce macroman sjis swe7 tis620 ucs2 ujis utf16 utf16le utf32`)

var errCharset = errors.New("strings are UTF-8 here: leave it out, or write utf8mb4; " +
	"the server converts for tables of another character set")

// setCharset reads a list, as in go-sql-driver: the first set that the server
// knows counts. None may be another one than UTF-8.
func setCharset(_ *settings, value string) error {
	for name := range strings.SplitSeq(strings.ToLower(value), ",") {
		switch {
		case !word.MatchString(name):
			return errors.New("it is the name of a character set, such as utf8mb4")
		case name == charset, slices.Contains(otherNames, name):
			return nil
		case slices.Contains(otherCharsets, name):
			return errCharset
		}
	}
	return errCharset
}

// setCollation takes a collation of utf8mb4. One of the smaller UTF-8 has a
// namesake there.
func setCollation(s *settings, value string) error {
	value = strings.ToLower(value)
	set, rest, ok := strings.Cut(value, "_")
	switch {
	case !ok || !word.MatchString(value):
		return errors.New("it is the name of a collation, such as utf8mb4_unicode_ci")
	case slices.Contains(otherNames, set):
		value = charset + "_" + rest
	case set != charset:
		return fmt.Errorf("it does not belong to the character set %s", charset)
	}
	s.cfg.Params["collation_connection"] = "'" + value + "'"
	return nil
}

// speak has each connection say SET NAMES.
func (s *settings) speak() {
	s.options = append(s.options, gomysql.Charset(charset, ""))
}
