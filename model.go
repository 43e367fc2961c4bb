package echobun

import (
	"errors"
	"fmt"
	"reflect"
)

// A BindKeyer is a model that says which bind it is on. The method may have a
// value or a pointer receiver, and must return the same key for every value
// of the type: it is called once, on a zero value, and must not call the
// extension.
//
// Embedding a type that has the method puts the embedding model on that bind
// too, as inheriting from an abstract model does in Flask-SQLAlchemy. A model
// without the method is on the default bind.
type BindKeyer interface {
	BindKey() string
}

var bindKeyerType = reflect.TypeFor[BindKeyer]()

// bindKeyOf returns the bind key of the struct type t. It is an error where
// one was meant but Go does not see it: the default bind is never a guess.
func bindKeyOf(t reflect.Type) (string, error) {
	if reflect.PointerTo(t).Implements(bindKeyerType) {
		return callBindKey(t)
	}
	if m, ok := reflect.PointerTo(t).MethodByName("BindKey"); ok {
		return "", fmt.Errorf("its method BindKey has type %s: want func() string", methodType(m))
	}

	givers := bindKeyGivers(t)
	switch len(givers) {
	case 0:
		return DefaultBind, nil
	case 1:
		return "", fmt.Errorf("the BindKey method of its embedded %s is hidden by a field or method of the same name: "+
			"give %s a BindKey method of its own", givers[0], t)
	default:
		return "", fmt.Errorf("ambiguous bind key: its embedded %s and %s both have a BindKey method: "+
			"give %s a BindKey method of its own", givers[0], givers[1], t)
	}
}

// callBindKey calls the method on a zero value of t.
func callBindKey(t reflect.Type) (key string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its method BindKey panics on a zero value (embed the type that has it by value, not as a pointer): %v", p)
		}
	}()

	keyer, ok := reflect.TypeAssert[BindKeyer](reflect.New(t))
	if !ok {
		return "", errors.New("its method BindKey cannot be called")
	}
	return keyer.BindKey(), nil
}

// methodType returns the type of m without its receiver.
func methodType(m reflect.Method) string {
	var in, out []reflect.Type
	for i := 1; i < m.Type.NumIn(); i++ {
		in = append(in, m.Type.In(i))
	}
	for i := range m.Type.NumOut() {
		out = append(out, m.Type.Out(i))
	}
	return reflect.FuncOf(in, out, m.Type.IsVariadic()).String()
}

// bindKeyGivers returns the embedded types of t that have a bind key, at the
// shallowest depth where there is one. It follows Go's own rule of promotion.
func bindKeyGivers(t reflect.Type) []reflect.Type {
	level, seen := []reflect.Type{t}, map[reflect.Type]bool{}
	for len(level) > 0 {
		for _, typ := range level {
			seen[typ] = true
		}
		var givers, next []reflect.Type
		for _, embedded := range embeddedTypes(level) {
			if givesBindKey(embedded) {
				givers = append(givers, embedded)
				continue
			}
			// A type that is embedded twice at one depth counts twice.
			if elem := indirect(embedded); elem.Kind() == reflect.Struct && !seen[elem] {
				next = append(next, elem)
			}
		}
		if len(givers) > 0 {
			return givers
		}
		level = next
	}
	return nil
}

func embeddedTypes(structs []reflect.Type) []reflect.Type {
	var embedded []reflect.Type
	for _, t := range structs {
		for i := range t.NumField() {
			if f := t.Field(i); f.Anonymous {
				embedded = append(embedded, f.Type)
			}
		}
	}
	return embedded
}

func givesBindKey(t reflect.Type) bool {
	return t.Implements(bindKeyerType) || t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(bindKeyerType)
}

// maxDepth bounds how many pointers and slices are looked through: a type may
// point to itself, as type P *P does.
const maxDepth = 32

// indirect returns what t points to, at any number of pointers.
func indirect(t reflect.Type) reflect.Type {
	for depth := 0; t.Kind() == reflect.Pointer && depth < maxDepth; depth++ {
		t = t.Elem()
	}
	return t
}
