package sqltext

import (
	"strings"

	"github.com/echobun/echobun/driver"
)

// maxReason is how long a reason gets, in bytes: spans and log records are kept.
const maxReason = 8 << 10

// Reason is what an error says without the values of statements. Of a server's
// error it is what its driver explains, since a server speaks any language,
// and its functions raise what they like; of the rest, what is not quoted.
func Reason(err error) string {
	var b strings.Builder
	rest, drivers := err.Error(), driver.Drivers()
	found := true
	each(err, func(err error) bool {
		said, ok := explain(drivers, err)
		if !ok || !found {
			return ok
		}
		var before string
		if before, rest, found = strings.Cut(rest, err.Error()); found {
			b.WriteString(ScrubMessage(before))
			b.WriteString(said)
			return true
		}
		b.Reset() // Somebody has put it into words of their own, with whatever is in them.
		b.WriteString(said)
		return true
	})
	if found {
		b.WriteString(ScrubMessage(rest))
	}
	return cut(b.String())
}

// each calls see with each error of a tree, in the order of their texts, but
// for what is in those that see knows.
func each(err error, see func(error) bool) {
	if err == nil || see(err) {
		return
	}
	switch wrapper := err.(type) { //nolint:errorlint // It goes through all that errors.As does.
	case interface{ Unwrap() error }:
		each(wrapper.Unwrap(), see)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			each(inner, see)
		}
	}
}

// explain asks the drivers what an error of their servers says.
func explain(drivers map[string]driver.Driver, err error) (said string, ok bool) {
	for _, d := range drivers {
		if x, able := d.(driver.Explainer); able {
			if said, ok = x.Explain(err); ok {
				return said, true
			}
		}
	}
	return "", false
}

func cut(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "") + "..."
}
