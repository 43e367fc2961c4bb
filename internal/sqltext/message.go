package sqltext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ScrubMessage replaces all between the first quotation mark of an error
// message and the last one: databases quote values that they complain about,
// each in the marks of its language, and do not escape marks in them. Bun, Go's
// own packages and pgx may not even quote them.
func ScrubMessage(message string) string {
	message = quoteUnquoted(message)
	first, last := strings.IndexFunc(message, isQuote), strings.LastIndexFunc(message, isQuote)
	switch {
	case first < 0:
		return message
	case first < last:
		_, size := utf8.DecodeRuneInString(message[last:])
		return message[:first] + "?" + message[last+size:]
	case isApostrophe(message, first):
		return message
	}
	return message[:first] + "?" // It was cut off before the second.
}

// isQuote reports whether r is a quotation mark in some language, or a bracket
// that is used as one.
func isQuote(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r == '\'' || r == '"' || r == '`'
	case unicode.In(r, unicode.Pi, unicode.Pf):
		return true // «a», “a”, ‹a›
	case 0x3008 <= r && r <= 0x301f:
		return r != '〒' && r != '〓' // 「a」, 《a》, 【a】, 〝a〟
	}
	return strings.ContainsRune("´‚„﹁﹂﹃﹄＂＇＜＞｢｣", r)
}

// isApostrophe reports whether the mark at i stands inside of a word.
func isApostrophe(message string, i int) bool {
	mark, size := utf8.DecodeRuneInString(message[i:])
	before, _ := utf8.DecodeLastRuneInString(message[:i])
	after, _ := utf8.DecodeRuneInString(message[i+size:])
	return (mark == '\'' || mark == '’') && unicode.IsLetter(before) && unicode.IsLetter(after)
}

// unquoted is what stands before a value without quotes, what stands behind it,
// and the first without an apostrophe.
var unquoted = [...]struct{ before, instead, after string }{
	{"can't scan ", "cannot scan ", " into "},                          // Bun.
	{"couldn't convert ", "could not convert ", " into "},              // database/sql.
	{"unable to encode ", "unable to encode ", " into "},               // pgx.
	{"cannot unmarshal number ", "cannot unmarshal number ", " into "}, // encoding/json.
	{"invalid IP address: ", "invalid IP address: ", ""},               // net.
	{"invalid CIDR address: ", "invalid CIDR address: ", ""},
	{"invalid MAC address: ", "invalid MAC address: ", ""},
}

// quoteUnquoted puts such a value into quotes.
func quoteUnquoted(message string) string {
	for _, u := range unquoted {
		before, rest, found := strings.Cut(message, u.before)
		if !found {
			continue
		}
		end := len(rest)
		if u.after != "" {
			end = strings.LastIndex(rest, u.after)
		}
		if end >= 0 {
			message = before + u.instead + "'" + rest[:end] + "'" + rest[end:]
		}
	}
	return message
}
