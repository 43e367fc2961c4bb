package pgx

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// conformingStrings is the parameter without which a backslash in a string
// constant escapes what follows. Bun only doubles quotes, so a value that ends
// with a backslash would reach out of its constant.
const conformingStrings = "standard_conforming_strings"

// errNonconforming is the error of a session in which it is off.
var errNonconforming = errors.New("pgx: standard_conforming_strings is off in this session, which makes Bun's statements injectable: " +
	"switch it on for the server, the database or the role")

// checkConforming refuses run-time parameters that switch it off.
func checkConforming(params map[string]string) error {
	for name, value := range params {
		switch {
		case strings.EqualFold(name, conformingStrings) && !isOn(value):
			return fmt.Errorf("pgx: %s=%q is refused: it makes Bun's statements injectable; remove it", name, value)
		case name == "options" && switchesOff(value):
			return fmt.Errorf("pgx: options with %s are refused unless they switch it on: "+
				"it makes Bun's statements injectable; remove it", conformingStrings)
		}
	}
	return nil
}

// switchesOff reports whether server options, "-c name=value" or
// "--name=value", could switch it off. It errs on the side of refusing.
func switchesOff(options string) bool {
	rest := strings.NewReplacer(`\`, "", "-", "_").Replace(strings.ToLower(options))
	for {
		var found bool
		if _, rest, found = strings.Cut(rest, conformingStrings); !found {
			return false
		}
		value, set := strings.CutPrefix(rest, "=")
		if end := strings.IndexFunc(value, unicode.IsSpace); end >= 0 {
			value = value[:end]
		}
		if !set || !isOn(value) {
			return true
		}
	}
}

// isOn reports whether PostgreSQL reads s as true.
func isOn(s string) bool {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "1", "on":
		return true
	case "":
		return false
	}
	return strings.HasPrefix("true", s) || strings.HasPrefix("yes", s)
}
