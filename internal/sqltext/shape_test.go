package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqltext"
)

func TestShape(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, scrubbed, want string }{
		{"empty", "", ""},
		{"one row", `INSERT INTO "t" ("a", "b") VALUES (?, ?)`, `INSERT INTO "t" ("a", "b") VALUES (?, ?)`},
		{"rows", `INSERT INTO "t" ("a") VALUES (?), (?), (?) RETURNING "id"`, `INSERT INTO "t" ("a") VALUES (?) RETURNING "id"`},
		{"rows that leave out", `VALUES (DEFAULT, ?, NULL), (?, -?, TRUE), (?,?,false)`, `VALUES (?, ?, ?), (?,?,?)`},
		{"rows of MySQL's", "VALUES ROW(?, ?), ROW(?, NULL)", "VALUES ROW(?, ?)"},
		{"rows with types", "VALUES (?::BIGINT, NULL::JSONB), (?::BIGINT, ?::JSONB)", "VALUES (?::BIGINT, ?::JSONB)"},
		{"rows with expressions", "VALUES (now(), ?), (now(), ?), (?, ?)", "VALUES (now(), ?), (?, ?)"},
		{"list", `WHERE (id IN (?, ?, -?)) AND (b NOT IN (?))`, `WHERE (id IN (?)) AND (b NOT IN (?))`},
		{"list of rows", `WHERE (a, b) IN ((?, ?), (?, ?))`, `WHERE (a, b) IN ((?, ?))`},
		{"list with an expression", `id IN (?, (SELECT max(id) FROM t))`, `id IN (?, (SELECT max(id) FROM t))`},
		{"function", `min(?, ?), f(?, ?)`, `min(?, ?), f(?, ?)`},
		{"the word in a name", `main (?, ?)`, `main (?, ?)`},
		{"values of columns", `SET "a" = NULL, "b" = -?, "c" = TRUE WHERE "d" <> FALSE`, `SET "a" = ?, "b" = ?, "c" = ? WHERE "d" <> ?`},
		{"words that are no values", `"a" IS NULL AND b IS NOT TRUE AND c - ? > ?`, `"a" IS NULL AND b IS NOT TRUE AND c - ? > ?`},
		{"a definition", `("a" bigint NOT NULL, "b" bool DEFAULT FALSE)`, `("a" bigint NOT NULL, "b" bool DEFAULT FALSE)`},
		{"names", "\"a (?, ?), (?, ?)\" `IN (?, ?)`", "\"a (?, ?), (?, ?)\" `IN (?, ?)`"},
		{"brackets that do not match", `)) (?, ?), ((?`, `)) (?, ?), ((?`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, sqltext.Shape(tc.scrubbed))
		})
	}
}

func FuzzShape(f *testing.F) {
	for _, seed := range []string{"(?, ?), (?, ?)", "IN (?)", ")(", "ROW(", "0IN()", "\"", "-?", "(-?,NULL)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, scrubbed string) {
		shape := sqltext.Shape(scrubbed)
		// An empty list, IN (), is as one of any length.
		require.LessOrEqual(t, len(shape), len(scrubbed)+strings.Count(scrubbed, "()"))
		require.Equal(t, shape, sqltext.Shape(shape))
	})
}
