package confread

import (
	"fmt"
	"slices"
	"strings"
)

// A Fault is a mistake in a configuration.
type Fault struct {
	Bind  string // Bind key.
	Field string // The key, or what was being read as a whole.
	Err   error  // What is wrong with it.
}

// A Reader reads objects, and collects the mistakes in them.
type Reader struct {
	Bind   string                   // Bind key, for mistakes.
	Whole  string                   // What is being read, for mistakes about all of it.
	Prefix string                   // Goes before the keys in mistakes.
	Want   string                   // What the whole has to be, in words.
	Ignore func(name string) bool   // Keys that are of no concern; nil is none.
	Hint   func(name string) string // What to do in place of an unknown key, or "".
	Show   func(name string) string // How a key that may hold a secret is shown.
	Faults []Fault
}

// Fail adds a mistake.
func (r *Reader) Fail(field string, err error) {
	r.Faults = append(r.Faults, Fault{r.Bind, field, err})
}

// A Key reads one key that an object may have, under any of its names.
type Key struct {
	Names []string
	Read  func(name string, v any) error
}

// Named returns a reader of the key with these names.
func Named(read func(name string, v any) error, names ...string) Key {
	return Key{names, read}
}

// Object reads an object that has any of keys. It returns which it has, by
// their first name. Null counts as not given.
func (r *Reader) Object(v any, keys []Key) map[string]bool {
	members, ok := Members(v)
	if !ok {
		r.Fail(r.Whole, fmt.Errorf("want %s, not %s", r.Want, TypeName(v)))
		return nil
	}

	found := make(map[string]bool)
	for _, m := range members {
		i := slices.IndexFunc(keys, func(k Key) bool { return slices.Contains(k.Names, m.Name) })
		switch {
		case i < 0 && r.Ignore != nil && r.Ignore(m.Name):
		case i < 0:
			r.Fail(r.Prefix+r.Show(m.Name), r.unknown(m.Name, keys))
		case m.Value == nil:
		case found[keys[i].Names[0]]:
			r.Fail(r.Prefix+m.Name, fmt.Errorf("is given twice: leave out all but one of %s", strings.Join(keys[i].Names, ", ")))
		default:
			found[keys[i].Names[0]] = true
			if err := keys[i].Read(m.Name, m.Value); err != nil {
				r.Fail(r.Prefix+m.Name, err)
			}
		}
	}
	return found
}

// unknown says what to do in place of a key, or which keys there are.
func (r *Reader) unknown(name string, keys []Key) error {
	if hint := r.Hint(name); hint != "" {
		return fmt.Errorf("unknown key: %s", hint)
	}
	var known []string
	for _, k := range keys {
		known = append(known, k.Names...)
	}
	slices.Sort(known)
	return fmt.Errorf("unknown key: known are %s", strings.Join(known, ", "))
}
