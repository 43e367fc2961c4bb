package echobun

import (
	"fmt"
	"slices"
	"strings"
)

// A fault is a mistake in a configuration.
type fault struct {
	Bind  string // Bind key.
	Field string // The key, or what was being read as a whole.
	Err   error  // What is wrong with it.
}

// A reader reads objects, and collects the mistakes in them.
type reader struct {
	bind   string                   // Bind key, for mistakes.
	whole  string                   // What is being read, for mistakes about all of it.
	prefix string                   // Goes before the keys in mistakes.
	want   string                   // What the whole has to be, in words.
	ignore func(name string) bool   // Keys that are of no concern; nil is none.
	hint   func(name string) string // What to do in place of an unknown key, or "".
	show   func(name string) string // How a key that may hold a secret is shown.
	faults []fault
}

// fail adds a mistake.
func (r *reader) fail(field string, err error) {
	r.faults = append(r.faults, fault{r.bind, field, err})
}

// A keyReader reads one key that an object may have, under any of its names.
type keyReader struct {
	names []string
	read  func(name string, v any) error
}

// named returns a reader of the key with these names.
func named(read func(name string, v any) error, names ...string) keyReader {
	return keyReader{names, read}
}

// object reads an object that has any of keys. It returns which it has, by
// their first name. Null counts as not given.
func (r *reader) object(v any, keys []keyReader) map[string]bool {
	members, ok := membersOf(v)
	if !ok {
		r.fail(r.whole, fmt.Errorf("want %s, not %s", r.want, typeName(v)))
		return nil
	}

	found := make(map[string]bool)
	for _, m := range members {
		i := slices.IndexFunc(keys, func(k keyReader) bool { return slices.Contains(k.names, m.name) })
		switch {
		case i < 0 && r.ignore != nil && r.ignore(m.name):
		case i < 0:
			r.fail(r.prefix+r.show(m.name), r.unknown(m.name, keys))
		case m.value == nil:
		case found[keys[i].names[0]]:
			r.fail(r.prefix+m.name, fmt.Errorf("is given twice: leave out all but one of %s", strings.Join(keys[i].names, ", ")))
		default:
			found[keys[i].names[0]] = true
			if err := keys[i].read(m.name, m.value); err != nil {
				r.fail(r.prefix+m.name, err)
			}
		}
	}
	return found
}

// unknown says what to do in place of a key, or which keys there are.
func (r *reader) unknown(name string, keys []keyReader) error {
	if hint := r.hint(name); hint != "" {
		return fmt.Errorf("unknown key: %s", hint)
	}
	var known []string
	for _, k := range keys {
		known = append(known, k.names...)
	}
	slices.Sort(known)
	return fmt.Errorf("unknown key: known are %s", strings.Join(known, ", "))
}
