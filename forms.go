package echobun

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/uptrace/bun"
)

// Bun takes a model in many forms: pointers to structs and to slices of them,
// of pointers and of interfaces; its own models, as hooks get them; maps and
// scalars. This file tells where each form belongs. What it does not know is
// an error: the default bind is where values go that have none, never a guess.

var bunModelType = reflect.TypeFor[bun.Model]()

// innermost returns the type behind pointers, slices and arrays.
func innermost(t reflect.Type) reflect.Type {
	for depth := 0; isContainer(t) && depth < maxDepth; depth++ {
		t = t.Elem()
	}
	return t
}

func isContainer(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return true
	}
	return false
}

// resolveValue returns the engine of values that are no models, of which t is
// the type as it was given and typ the innermost one: the default one, unless
// typ has a BindKey method.
func (x *Extension) resolveValue(t, typ reflect.Type) (*engine, error) {
	if err := checkValue(t, typ); err != nil {
		return nil, &ModelError{Model: t.String(), Err: err}
	}
	if !reflect.PointerTo(typ).Implements(bindKeyerType) {
		return x.engine(DefaultBind)
	}
	key, err := callBindKey(typ)
	if err != nil {
		return nil, &ModelError{Model: t.String(), Err: err}
	}
	return x.engine(key)
}

// checkValue returns an error for what Bun cannot read into. Of maps it asserts
// that they are of two types, and panics at any other.
func checkValue(t, typ reflect.Type) error {
	switch kind := typ.Kind(); {
	case kind == reflect.Map:
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t != reflect.TypeFor[map[string]any]() && t != reflect.TypeFor[[]map[string]any]() {
			return errors.New("no model: of maps Bun takes a *map[string]any and a *[]map[string]any: " +
				"convert a map of a named type, as in (*map[string]any)(&row)")
		}
	case kind == reflect.Bool, kind == reflect.String,
		kind >= reflect.Int && kind <= reflect.Float64 && kind != reflect.Uintptr:
	default:
		return errors.New("no model: give a *T, a (*T)(nil) or a *[]T of a struct, or use Bind for a bind by its key")
	}
	return nil
}

// checkContainers returns an error if a slice type of t has a BindKey method
// that says otherwise than its elements, which are on e.
func checkContainers(t reflect.Type, e *engine) error {
	for depth := 0; isContainer(t) && depth < maxDepth; depth++ {
		if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(bindKeyerType) {
			key, err := callBindKey(t)
			if err == nil && key != e.key {
				err = fmt.Errorf("its method BindKey says %s, and its elements are on %s: "+
					"give the elements' type the method", bindName(key), bindName(e.key))
			}
			if err != nil {
				return &ModelError{Model: t.String(), Bind: e.key, Err: err}
			}
		}
		t = t.Elem()
	}
	return nil
}

// takes returns why Bun's builder does not take a model whose bind is known.
// What Bun says of it names neither, or nothing but its own types.
func (b Builder[Q]) takes(model any) error {
	t := reflect.TypeOf(model)
	if t.Kind() != reflect.Pointer {
		if _, ok := model.(bun.Model); ok {
			return nil
		}
		return fmt.Errorf("a %s that is no pointer: give Model a pointer to it, such as &value", t)
	}
	switch elem := t.Elem(); {
	case elem.Kind() == reflect.Struct:
		return nil
	case reflect.ValueOf(model).IsNil():
		return fmt.Errorf("a nil %s: give a pointer to one that is there", t)
	case elem.Kind() == reflect.Slice && isRow(elem.Elem()):
		return nil
	case elem == reflect.TypeFor[[]map[string]any]():
		return b.takesMaps()
	}
	if _, ok := model.(bun.Model); ok {
		return nil
	}
	if typ := innermost(t); typ.Kind() == reflect.Interface || typ.Kind() == reflect.Struct && typ != reflect.TypeFor[time.Time]() {
		return fmt.Errorf("a %s: give a *T, a *[]T or a *[]*T of a struct", t)
	}
	return nil
}

// takesMaps is takes for a slice of maps.
func (Builder[Q]) takesMaps() error {
	var like Q
	if _, inserts := any(like).(*bun.InsertQuery); inserts {
		return errors.New("maps have no table of their own: begin with NewInsert().Table(table), and give them to its Model")
	}
	return nil
}

// isRow reports whether a slice of t is one of models for Bun.
func isRow(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Interface
}

// routeInside returns the engine of a value whose type says nothing about its
// model: one with an interface in it, or one of Bun's own models.
func (x *Extension) routeInside(model any) (*engine, error) {
	if m, ok := model.(bun.Model); ok {
		return x.routeBunModel(m)
	}
	t, err := typeInside(reflect.ValueOf(model))
	if err != nil {
		return nil, &ModelError{Model: fmt.Sprintf("%T", model), Err: err}
	}
	found := x.findRoute(t)
	if found.inside {
		return nil, &ModelError{Model: t.String(), Err: errors.New("a bun.Model among others: give it alone")}
	}
	if found.err == nil {
		return found.e, checkContainers(reflect.TypeOf(model), found.e)
	}
	return nil, found.err
}

// routeBunModel returns the engine of a model as hooks get it from Bun, or of
// a model that reads its rows itself.
func (x *Extension) routeBunModel(m bun.Model) (*engine, error) {
	t := reflect.TypeOf(m)
	refuse := func(why string) (*engine, error) {
		return nil, &ModelError{Model: t.String(), Err: errors.New(why)}
	}
	if t.Kind() == reflect.Pointer && reflect.ValueOf(m).IsNil() {
		return refuse("a nil bun.Model")
	}
	if table, ok := m.(bun.TableModel); ok {
		found := x.findRoute(reflect.PointerTo(table.Table().Type))
		return found.e, found.err
	}
	if t.Implements(bindKeyerType) {
		e, err := x.home(indirect(t))
		if err != nil {
			return refuse(err.Error())
		}
		return e, nil
	}
	value := m.Value()
	if _, again := value.(bun.Model); again || value == nil {
		return refuse("a bun.Model that does not say which bind it is on: give it a BindKey method, or use Bind")
	}
	return x.routeModel(value)
}

// typeInside returns the type of the models in v, *T for one. All have to be
// of one type, as Bun takes the first one's fields for the others' too, and
// pointers, as Bun panics when it reads into what is not addressable.
func typeInside(v reflect.Value) (reflect.Type, error) {
	switch v.Kind() {
	case reflect.Interface:
		return typeOfElement(v.Elem())
	case reflect.Pointer:
		if v.IsNil() {
			return nil, errors.New("nil: an interface has to hold a model to say which bind it is on")
		}
		return typeInside(v.Elem())
	case reflect.Slice, reflect.Array:
		return typeOfAll(v)
	}
	return nil, fmt.Errorf("a %s where a model is wanted", v.Type())
}

func typeOfElement(v reflect.Value) (reflect.Type, error) {
	switch {
	case !v.IsValid():
		return nil, errors.New("nil: an interface has to hold a model to say which bind it is on")
	case v.Kind() != reflect.Pointer || v.Type().Elem().Kind() != reflect.Struct:
		return nil, fmt.Errorf("a %s behind an interface: put pointers to structs there", v.Type())
	case v.IsNil():
		return nil, fmt.Errorf("a nil %s", v.Type())
	}
	return v.Type(), nil
}

func typeOfAll(v reflect.Value) (reflect.Type, error) {
	if v.Len() == 0 {
		return nil, errors.New("empty: without an element nothing says which bind it is on: use a slice of the model's own type")
	}
	var first reflect.Type
	for i := range v.Len() {
		t, err := typeInside(v.Index(i))
		switch {
		case err != nil:
			return nil, fmt.Errorf("index %d: %w", i, err)
		case first == nil:
			first = t
		case t != first:
			return nil, fmt.Errorf("index %d is a %s, and those before are %s: give each model a query of its own", i, t, first)
		}
	}
	return first, nil
}
