// Package confread reads JSON and YAML into values, key by key, with mistakes
// that name the key and never hold a value, which may be a password. It knows no
// Config: who reads says which keys there are, which of them are of no concern,
// and what to do in place of one that is unknown.
//
// A [Reader] lives for the reading of one object. It collects all mistakes, so
// that one start of the application shows them all.
package confread
