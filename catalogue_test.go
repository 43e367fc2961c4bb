package echobun_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/internal/dbtest"
)

// databases gives a new database's URL, by the database's name.
var databases = map[string]func(testing.TB) string{
	"PostgreSQL": func(tb testing.TB) string { tb.Helper(); return dbtest.Postgres(tb).URL() },
	"MariaDB":    func(tb testing.TB) string { tb.Helper(); return dbtest.MariaDB(tb).URL() },
	"SQLite":     func(tb testing.TB) string { tb.Helper(); return sqliteURL(tb) },
}

// A catalogue is what a database says of its own tables.
type catalogue struct {
	tb testing.TB
	db *bun.DB
}

// catalogueOf returns the catalogue of the engine of a bind key.
func catalogueOf(tb testing.TB, engines map[string]*bun.DB, key string) catalogue {
	tb.Helper()
	require.Contains(tb, engines, key)
	return catalogue{tb, engines[key]}
}

// texts returns the one column that a query has, of the query for the
// database at hand.
func (c catalogue) texts(queries map[dialect.Name]string, args ...any) []string {
	c.tb.Helper()
	rows, err := c.db.QueryContext(c.tb.Context(), queries[c.db.Dialect().Name()], args...)
	require.NoError(c.tb, err)
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var text string
		require.NoError(c.tb, rows.Scan(&text))
		list = append(list, text)
	}
	require.NoError(c.tb, rows.Err())
	slices.Sort(list)
	return list
}

// tables returns the names of all tables.
func (c catalogue) tables() []string {
	c.tb.Helper()
	return c.texts(map[dialect.Name]string{
		dialect.PG:     "SELECT relname FROM pg_catalog.pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
		dialect.MySQL:  "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
		dialect.SQLite: "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'",
	})
}

// columns returns the columns of a table as "name type", with NOT NULL, PK,
// AUTO and DEFAULT where they are so.
func (c catalogue) columns(table string) map[string]string {
	c.tb.Helper()
	lines := c.texts(map[dialect.Name]string{
		dialect.PG: `SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
				|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
				|| CASE WHEN EXISTS (SELECT 1 FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisprimary
					AND a.attnum = ANY(i.indkey)) THEN ' PK' ELSE '' END
				|| CASE WHEN a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval%' THEN ' AUTO'
					ELSE COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
			FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped`,
		dialect.MySQL: `SELECT CONCAT(column_name, ' ', column_type, IF(is_nullable = 'NO', ' NOT NULL', ''),
				IF(column_key = 'PRI', ' PK', ''), IF(extra LIKE '%auto_increment%', ' AUTO', ''),
				IF(column_default IS NULL OR column_default = 'NULL', '', CONCAT(' DEFAULT ', column_default)))
			FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?`,
		dialect.SQLite: `SELECT name || ' ' || lower(type) || iif("notnull", ' NOT NULL', '') || iif(pk, ' PK', '')
				|| coalesce(' DEFAULT ' || dflt_value, '') FROM pragma_table_info(?)`,
	}, table)
	columns := make(map[string]string)
	for _, line := range lines {
		name, is, _ := strings.Cut(line, " ")
		columns[name] = is
	}
	return columns
}

// foreignKeys returns a table's foreign keys, each as "columns > parent(columns)".
func (c catalogue) foreignKeys(table string) []string {
	c.tb.Helper()
	return c.texts(map[dialect.Name]string{
		dialect.PG: `SELECT (SELECT string_agg(attname, ',' ORDER BY o) FROM unnest(k.conkey) WITH ORDINALITY AS u(n, o)
					JOIN pg_attribute ON attrelid = k.conrelid AND attnum = n) || ' > ' || p.relname || '('
				|| (SELECT string_agg(attname, ',' ORDER BY o) FROM unnest(k.confkey) WITH ORDINALITY AS u(n, o)
					JOIN pg_attribute ON attrelid = k.confrelid AND attnum = n) || ')'
			FROM pg_constraint AS k JOIN pg_class AS p ON p.oid = k.confrelid
			WHERE k.contype = 'f' AND k.conrelid = to_regclass(?)`,
		dialect.MySQL: `SELECT CONCAT(GROUP_CONCAT(column_name ORDER BY ordinal_position), ' > ', referenced_table_name, '(',
				GROUP_CONCAT(referenced_column_name ORDER BY ordinal_position), ')')
			FROM information_schema.key_column_usage
			WHERE table_schema = DATABASE() AND table_name = ? AND referenced_table_name IS NOT NULL
			GROUP BY constraint_name, referenced_table_name`,
		dialect.SQLite: `SELECT group_concat("from") || ' > ' || "table" || '(' || group_concat("to") || ')'
			FROM (SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq) GROUP BY id, "table"`,
	}, table)
}

// indexes returns the indexes of a table that CREATE INDEX made, or a unique
// constraint, each as "name(columns)" with " unique" where it is.
func (c catalogue) indexes(table string) []string {
	c.tb.Helper()
	return c.texts(map[dialect.Name]string{
		dialect.PG: `SELECT c.relname || '(' || (SELECT string_agg(attname, ',' ORDER BY o) FROM unnest(i.indkey) WITH ORDINALITY AS u(n, o)
				JOIN pg_attribute ON attrelid = i.indrelid AND attnum = n) || ')' || CASE WHEN i.indisunique THEN ' unique' ELSE '' END
			FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE NOT i.indisprimary AND i.indrelid = to_regclass(?)`,
		dialect.MySQL: `SELECT CONCAT(index_name, '(', GROUP_CONCAT(column_name ORDER BY seq_in_index), ')', IF(non_unique, '', ' unique'))
			FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND index_name <> 'PRIMARY'
			GROUP BY index_name, non_unique`,
		dialect.SQLite: `SELECT l.name || '(' || (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) || ')'
				|| iif(l."unique", ' unique', '') FROM pragma_index_list(?) AS l WHERE l.origin <> 'pk'`,
	}, table)
}

// exec runs SQL that is the same on every database.
func (c catalogue) exec(query string) {
	c.tb.Helper()
	_, err := c.db.ExecContext(c.tb.Context(), query)
	require.NoError(c.tb, err, query)
}

// count returns how many rows a table has.
func (c catalogue) count(table string) int {
	c.tb.Helper()
	var n int
	row := c.db.QueryRowContext(c.tb.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)) //nolint:perfsprint // Reads better so.
	require.NoError(c.tb, row.Scan(&n))
	return n
}

// dialectOf returns the name of an engine's database.
func (c catalogue) dialect() dialect.Name { return c.db.Dialect().Name() }
