package sqlwords_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/sqlwords"
)

func words(d sqlwords.Dialect, text string) (list []string) {
	s := d.Scan(text)
	for word := s.Next(); word != ""; word = s.Next() {
		list = append(list, word)
	}
	return list
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"SELECT a_1 FROM \"B\"\"c\";":             {"SELECT", "a_1", "FROM", `B""c`, ";"},
		"/* a /* b */ c */ -- d\n x":              {"x"},
		"'it''s; \\' E'\\'' e ''":                 {"'", "'", "e", "'"},
		"$$ ; $$ $a$ $$ ; $a$ $1 a$b":             {"'", "'", "$", "1", "a$b"},
		"f(1, ü) U&'a' \"\" `x":                   {"f", "(", "1", ",", "ü", ")", "U", "&", "'", "'", "x"},
		"/*! not here */ # x":                     {"#", "x"},
		"-- a\rb --\nc":                           {"b", "c"},
		"/* /*/ a */ b */ c":                      {"c"},
		"E'a' -- b\n 'c\\';' e'a'\t'b\\'":         {"'", "'", "'"},
		"E'a'\r'b\\'' e'a' \v\r 'b\\''":           {"'", "'"},
		"$open$ never closed; SET x = 1 $other$;": {"'"},
	} {
		require.Equal(t, want, words(sqlwords.Postgres, text), text)
	}
	for text, want := range map[string][]string{
		"SELECT `a``b`, 'c\\'d', \"e\\\"f\"": {"SELECT", "a``b", ",", "'", ",", `e\"f`},
		"/* a /* b */ c -- d\n# e\n f":       {"c", "f"},
		"/*!50000 a */ /*M!100100 b */ c":    {"a", "b", "c"},
		"$$ \"\" '":                          {"$", "$", "'", "'"},
		"-- a\rb\nc 2 */* d */ 3":            {"c", "2", "*", "3"},
		"5--1 --\tx\n--\x01y\n---- z":        {"5", "-", "-", "1", "-", "-"},
		"--":                                 nil,
	} {
		require.Equal(t, want, words(sqlwords.MySQL, text), text)
	}
	for text, want := range map[string][]string{
		"/* a /* b */ c -- d\n e":     {"c", "e"},
		"\ufeff-- a\rb\n\ufeffc":      {"c"},
		"[a;b] $$ ; $$ E'\\' 'it''s'": {"a;b", "$", "$", ";", "$", "$", "E", "'", "'"},
	} {
		require.Equal(t, want, words(sqlwords.SQLite, text), text)
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	s := sqlwords.SQLite.Scan("a \"b\" `c` [d] 'e' f")
	for _, want := range []bool{false, true, true, true, false, false} {
		word := s.Next()
		require.Equal(t, want, s.Quoted(), word)
	}
}

// A constant is read once, however many of its characters are escaped.
func TestLongConstant(t *testing.T) {
	t.Parallel()
	text := "'" + strings.Repeat(`''\\`, 1<<20) + "' x"
	start := time.Now()
	require.Equal(t, []string{"'", "x"}, words(sqlwords.MySQL, text))
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestAround(t *testing.T) {
	t.Parallel()
	require.True(t, sqlwords.Around("a_b x_SET_Config", "set", "nothing", "config"))
	require.False(t, sqlwords.Around("_set_confi", "set", "config"))
	require.False(t, sqlwords.Around("", "set", "config"))
}

// FuzzWords takes texts to their end: each word takes something off.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"SELECT 1; SET x", "'\\", "\"", "`\\", "$a$", "/*", "/*!", "E'", "--", "é$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []sqlwords.Dialect{sqlwords.Postgres, sqlwords.MySQL, sqlwords.SQLite} {
			s := d.Scan(text)
			for left := len(text) + 1; ; left = len(s.Rest()) {
				word := s.Next()
				if word == "" {
					require.Empty(t, s.Rest())
					break
				}
				require.Less(t, len(s.Rest()), left)
			}
		}
	})
}
