package mysql

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/internal/sqlwords"
	"github.com/echobun/echobun/internal/wire"
)

// newTable has a table that a builder makes take text of every kind. Where the
// database's own character set, which a table would get, is another than
// utf8mb4, as with a plain CREATE DATABASE on MariaDB before 11.6, it says so
// in the statement. Else the database's collation is the table's. A column that
// counts has an index.
func (c *conn) newTable(ctx context.Context, query string) (string, error) {
	if len(query) == 0 || query[0]|0x20 != 'c' && query[0] != '/' || !wire.NewTable(ctx) {
		return query, nil
	}
	query = withCounterKey(query)
	schema, end := columnsOf(query)
	if end < 0 {
		return query, nil
	}
	set, err := c.charsetOf(ctx, schema)
	if err != nil || set == charset || set == "" { // Of a database that is not there the server will speak.
		return query, err
	}
	options := " DEFAULT CHARSET=" + charset
	if collation, given := c.connector.settings.cfg.Params["collation_connection"]; given {
		options += " COLLATE=" + strings.Trim(collation, "'")
	}
	return query[:end] + options + query[end:], nil
}

// columnsOf returns the schema that is named before a new table's name, and
// where the list of its columns ends. A partitioning would follow.
func columnsOf(query string) (schema string, end int) {
	s := sqlwords.MySQL.Scan(query)
	var name string
	for {
		switch word := s.Next(); word {
		case "":
			return "", -1
		case ".":
			schema = name
		case "(":
			return schema, closing(query, &s)
		default:
			name = word
		}
	}
}

// closing returns where the parenthesis that is open is closed.
func closing(query string, s *sqlwords.Scanner) int {
	for depth := 1; depth > 0; {
		switch s.Next() {
		case "":
			return -1
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return len(query) - len(s.Rest())
}

// charsetOf asks for the character set of a database, the session's if its
// name is empty.
func (c *conn) charsetOf(ctx context.Context, schema string) (string, error) {
	name := "DATABASE()"
	if schema != "" {
		name = introducer + "X'" + hex.EncodeToString([]byte(schema)) + "'"
	}
	set, err := queryText(ctx, c, "SELECT COALESCE((SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA"+
		" WHERE SCHEMA_NAME = "+name+"), '')")
	if err != nil {
		return "", fmt.Errorf("ask for the database's character set: %w", err)
	}
	return set, nil
}

// explainKey says of a foreign key that the server has refused what may be
// wrong with it, if its table has got another character set than its database.
func explainKey(err error) error {
	var server *gomysql.MySQLError
	if !errors.As(err, &server) {
		return err
	}
	switch {
	case server.Number == 1215, server.Number == 3780, server.Number == 1005 && strings.Contains(server.Message, "errno: 150"):
		return fmt.Errorf("%w (a foreign key on text needs one character set on both sides, and the new table is utf8mb4: "+
			"convert the other one with ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4)", err)
	}
	return err
}
