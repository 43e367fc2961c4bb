package sqltext_test

import (
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/sqlwords"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, statement, want string
		mysql                 bool
	}{
		{name: "empty"},
		{name: "nothing to hide", statement: `SELECT "u"."id" FROM "users" AS "u"`, want: `SELECT "u"."id" FROM "users" AS "u"`},
		{name: "string", statement: `x = 'secret' AND y`, want: `x = ? AND y`},
		{name: "doubled quote", statement: `x = 'sec''ret' AND y`, want: `x = ? AND y`},
		{name: "empty string", statement: `x = '' AND y`, want: `x = ? AND y`},
		{name: "backslash is a character", statement: `x = 'a\' AND y = 'b'`, want: `x = ? AND y = ?`},
		{name: "backslash escapes in MySQL", statement: `x = 'a\' AND y = 'b' AND z`, want: `x = ??`, mysql: true},
		{name: "escaped quote in MySQL", statement: `x = 'a\'secret' AND y`, want: `x = ? AND y`, mysql: true},
		{name: "double quotes in MySQL", statement: `x = "secret" AND y`, want: `x = ? AND y`, mysql: true},
		{name: "backquotes", statement: "SELECT `a 1` FROM `t`", want: "SELECT `a 1` FROM `t`", mysql: true},
		{name: "backslash in backquotes", statement: "SELECT `a\\` WHERE x = 'secret'", want: "SELECT `a\\` WHERE x = ?", mysql: true},
		{name: "name with a quote", statement: `SELECT "it's" FROM t WHERE x = 'secret'`, want: `SELECT "it's" FROM t WHERE x = ?`},
		{name: "numbers", statement: `IN (1, -2, 3.5, 1e9, 0xFF) LIMIT 10`, want: `IN (?, -?, ?, ?, ?) LIMIT ?`},
		{name: "digits in names", statement: `SELECT c1, t2.c3 FROM a_4`, want: `SELECT c1, t2.c3 FROM a_4`},
		{name: "names in other scripts", statement: `SELECT größe2 FROM straße`, want: `SELECT größe2 FROM straße`},
		{name: "escape string", statement: `x = E'a\'secret' AND y`, want: `x = ? AND y`},
		{name: "lower-case escape string", statement: `x = e'a\'secret' AND y`, want: `x = ? AND y`},
		{name: "escape string of two lines", statement: "x = E'a' -- b\n'c\\'secret' AND y", want: `x = ? AND y`},
		{name: "bytes", statement: `x = X'736563726574' AND y = '\x7365'`, want: `x = ? AND y = ?`},
		{name: "introducer", statement: `x = _utf8mb4 X'7365' AND y`, want: `x = _utf8mb4 ? AND y`, mysql: true},
		{name: "dollar quotes", statement: `x = $$secret's$$ AND y`, want: `x = ? AND y`},
		{name: "tagged dollar quotes", statement: `x = $tag$secret $$ $tag$ AND y`, want: `x = ? AND y`},
		{name: "dollar quotes in other scripts", statement: `x = $é$secret$é$ AND y`, want: `x = ? AND y`},
		{name: "open dollar quotes", statement: `x = $a$secret`, want: `x = ?`},
		{name: "placeholder", statement: `x = $1 AND y = ?`, want: `x = $? AND y = ?`},
		{name: "open string", statement: `x = 'secret`, want: `x = ?`},
		{name: "open escape", statement: `x = 'secret\`, want: `x = ?`, mysql: true},
		{name: "cast", statement: `'2024-01-01'::date`, want: `?::date`},
		{name: "lone dollar", statement: `a $ b`, want: `a $ b`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, sqltext.Scrub(tc.statement, words(tc.mysql)))
		})
	}
}

func TestScrubMessage(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"": "", "no such table: users": "no such table: users",
		"Duplicate entry 'it's secret' for key 'users.name'":      "Duplicate entry ?",
		`invalid input syntax for type integer: "a" (SQLSTATE x)`: "invalid input syntax for type integer: ? (SQLSTATE x)",
		"Incorrect value: 'secret' for column `a`.`b` at row 1":   "Incorrect value: ? at row 1",
		"can't connect": "can't connect",
		"bun: can't scan 4111111111111111 (int64) into time.Time":                        "bun: cannot scan ? into time.Time",
		`bun: can't scan "it's 1 into SECRET" (string) into time.Time`:                   "bun: cannot scan ? into time.Time",
		`sql: Scan error on column index 0, name "a": bun: can't scan 41 (int64) into x`: "sql: Scan error on column index 0, name ? into x",
		"sql/driver: couldn't convert 4111 into type bool":                               "sql/driver: could not convert ? into type bool",
		"near 'SECRET can't scan SECRET' into SECRET into x":                             "near ? into x",
		"ungültige Eingabesyntax für Typ integer: »SECRET«":                              "ungültige Eingabesyntax für Typ integer: ?",
		"„SECRET“ ist falsch":                                                            "? ist falsch",
		"no es válida: «SECRET» (SQLSTATE x)":                                            "no es válida: ? (SQLSTATE x)",
		"l’entrée « SECRET », l’autre":                                                   "l?autre",
		"l’entrée est fausse":                                                            "l’entrée est fausse",
		"\"SECRET\"の「SECRET」は、《SECRET》":                                                  "?",
		"错误：“SECRET”、【SECRET】、＂SECRET＂ 无效":                                               "错误：? 无效",
		"it was cut off: 'SECRET":                                                        "it was cut off: ?",
		"cut off in German: »SECRET":                                                     "cut off in German: ?",
		"unable to encode 4111 into text format":                                         "unable to encode ? into text format",
		"json: cannot unmarshal number 4111 into x":                                      "json: cannot unmarshal number ? into x",
		"invalid IP address: 10.SECRET":                                                  "invalid IP address: ?",
	} {
		require.Equal(t, want, sqltext.ScrubMessage(message))
	}
}

// TestScrubLetsGo asserts that what is made of a statement does not keep it.
func TestScrubLetsGo(t *testing.T) {
	t.Parallel()

	large := new([1 << 20]byte)
	copy(large[:], "SELECT '"+strings.Repeat("x", len(large)-9)+"'")
	query, alive := unsafe.String(&large[0], len(large)), weak.Make(large)
	operation := sqltext.Operation(query)
	require.Equal(t, "SELECT", operation)
	template := sqltext.Scrub(query, sqlwords.Postgres)
	require.Equal(t, "SELECT ?", template)
	require.Eventually(t, func() bool {
		runtime.GC()
		return alive.Value() == nil
	}, 10*time.Second, 10*time.Millisecond)
	runtime.KeepAlive(operation)
	runtime.KeepAlive(template)
}

func TestOperation(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"SELECT 1": "SELECT", "  select 1": "SELECT", "INSERT INTO t": "INSERT", "(SELECT 1)": "SELECT",
		"CREATE TABLE t ()": "CREATE TABLE", "drop index ix": "DROP INDEX", "ALTER TABLE t": "ALTER TABLE",
		"TRUNCATE TABLE t": "TRUNCATE TABLE", "WITH x AS (SELECT 1)": "WITH", "": "statement", " ": "statement",
		"/* a comment */ UPDATE t": "UPDATE", "-- a comment\nDELETE FROM t": "DELETE", "/* open": "statement",
		"-- only a comment": "statement", "COMMIT": "COMMIT", "ROLLBACK TO SAVEPOINT a": "ROLLBACK TO", "{call x}": "statement",
		"\f\vSELECT 1": "SELECT", "# a comment\nSELECT 1": "SELECT",
	} {
		require.Equal(t, want, sqltext.Operation(statement), "%q", statement)
	}
}

// FuzzScrub asserts that what stands in quotes never gets through.
func FuzzScrub(f *testing.F) {
	for _, s := range []string{"a", "it''s", "", "x", "$$", "E", "--", "/*"} {
		f.Add("SELECT ", s, " FROM t")
	}
	f.Fuzz(func(t *testing.T, before, hidden, after string) {
		// Only text around it that opens nothing says what is in quotes.
		if !quoteless(before) || !quoteless(after) {
			t.Skip()
		}
		for _, mysql := range []bool{false, true} {
			quoted := strings.ReplaceAll("s3cr3t"+hidden, "'", "''")
			if mysql {
				quoted = strings.ReplaceAll(quoted, `\`, `\\`)
			}
			got := sqltext.Scrub(before+" '"+quoted+"' "+after, words(mysql))
			require.NotContains(t, got, "s3cr3t")
			require.Equal(t, sqltext.Scrub(before+" ", words(mysql))+"?"+sqltext.Scrub(" "+after, words(mysql)), got)
		}
	})
}

// words is MySQL's way, or that of the others.
func words(mysql bool) sqlwords.Dialect {
	if mysql {
		return sqlwords.MySQL
	}
	return sqlwords.Postgres
}

func quoteless(s string) bool {
	return !strings.ContainsAny(s, "'\"`$#-/*") && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// TestScrubComments: an apostrophe in a comment begins no string, and what a
// comment says may be as secret as an argument.
func TestScrubComments(t *testing.T) {
	t.Parallel()

	for _, test := range []struct {
		name, statement, want string
		d                     sqlwords.Dialect
	}{
		{"line", "select 'x' -- don't\nwhere name = 'MY SECRET value'", "select ?  where name = ?", sqlwords.Postgres},
		{"block", "/* it's SECRET */ select 1 from t where card = '4111 SECRET'", "  select ? from t where card = ?", sqlwords.Postgres},
		{"hash", "select 1 # SECRET's\nfrom t where a = 'SECRET'", "select ?  from t where a = ?", sqlwords.MySQL},
		{"hash is an operator", "select a # 3", "select a # ?", sqlwords.Postgres},
		{"open", "select 1 /* SECRET", "select ?  ", sqlwords.Postgres},
		{"open line", "select 1 -- SECRET", "select ?  ", sqlwords.Postgres},
		{"no comment in MySQL", "select 5--1, 'SECRET' --\tSECRET\nfrom t --", "select ?--?, ?  from t  ", sqlwords.MySQL},
		{"dashes of PostgreSQL's", "select 5--SECRET\nfrom t", "select ? from t", sqlwords.Postgres},
		{"nested", "/* a /* b */ 'SECRET' /*/ */ 'SECRET' */ select 1 /* a /* b */ SECRET", "  select ?  ", sqlwords.Postgres},
		{"nested in MySQL", "/* a /* b */ select 1", "  select ?", sqlwords.MySQL},
		{"nested in SQLite", "/* a /* b */ select 1", "  select ?", sqlwords.SQLite},
		{"carriage return", "select 1 -- don't\rwhere name = 'SECRET' -- \n", "select ?  where name = ?  ", sqlwords.Postgres},
		{"carriage return in SQLite", "select 1 -- don't\rSECRET\nfrom t", "select ?  from t", sqlwords.SQLite},
		{"slash star slash", "select 1 /*/ SECRET */ + 2", "select ?   + ?", sqlwords.Postgres},
	} {
		require.Equal(t, test.want, sqltext.Scrub(test.statement, test.d), test.name)
	}
}
