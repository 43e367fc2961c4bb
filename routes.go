package echobun

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
)

// routes remembers the engine of each type and table that was asked for. A
// look-up takes no lock. The zero value is ready to use.
type routes struct {
	types  sync.Map // reflect.Type as it was given (*T, *[]T, ...) to *route.
	tables sync.Map // *Table to *declared.

	// near saves the look-up in types for the first type that meets a slot.
	// It holds no failures, so there is nothing in it to forget.
	near [256]atomic.Pointer[route]
}

// A route is where the queries of a type go.
type route struct {
	typ    reflect.Type
	e      *engine
	err    error
	inside bool // The type says nothing, each value does: see routeInside.
}

// slot returns the place in near of a type, by its address.
func (r *routes) slot(t reflect.Type) *atomic.Pointer[route] {
	address := reflect.ValueOf(t).Pointer()
	return &r.near[(address>>5)%uintptr(len(r.near))]
}

func (r *routes) table(t *Table) (*declared, bool) {
	v, ok := r.tables.Load(t)
	if !ok {
		return nil, false
	}
	d, ok := v.(*declared)
	return d, ok
}

func (r *routes) addTable(t *Table, d *declared) { r.tables.Store(t, d) }

// forgetFailures makes types that could not be routed be looked at again.
func (r *routes) forgetFailures() {
	r.types.Range(func(t, v any) bool {
		if found, ok := v.(*route); ok && found.err != nil {
			r.types.Delete(t)
		}
		return true
	})
}

// route returns the engine of a model or a table.
func (x *Extension) route(modelOrTable any) (*engine, error) {
	switch t := modelOrTable.(type) {
	case *Table:
		e, _, err := x.routeTable(t)
		return e, err
	case Table:
		e, _, err := x.routeTable(&t)
		return e, err
	}
	return x.routeModel(modelOrTable)
}

// routeModel returns the engine of a model, or the default one for values that
// are no models. Anything else is an error.
func (x *Extension) routeModel(model any) (*engine, error) {
	t := reflect.TypeOf(model)
	if t == nil {
		return nil, &ModelError{Model: "nil", Err: errors.New("an interface without a value is no model: " +
			"give a *T, a (*T)(nil) or a *[]T, or use Bind for a bind by its key")}
	}
	slot := x.routes.slot(t)
	near := slot.Load()
	if near != nil && near.typ == t {
		return near.e, nil
	}

	found := x.findRoute(t)
	if found.inside {
		return x.routeInside(model)
	}
	if near == nil && found.err == nil {
		slot.Store(found)
	}
	return found.e, found.err
}

// findRoute looks a type up, and finds its engine when it is asked for for the
// first time.
func (x *Extension) findRoute(t reflect.Type) *route {
	if v, ok := x.routes.types.Load(t); ok {
		if found, ok := v.(*route); ok {
			return found
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()

	found := &route{typ: t}
	x.resolve(found)
	x.routes.types.Store(t, found)
	return found
}

// resolve finds out where the values of a type go. It needs x.mu.
func (x *Extension) resolve(r *route) {
	if r.typ.Implements(bunModelType) {
		r.inside = true
		return
	}
	switch typ := innermost(r.typ); typ.Kind() {
	case reflect.Interface:
		r.inside = true
	case reflect.Struct:
		r.e, r.err = x.resolveStruct(typ)
	default:
		r.e, r.err = x.resolveValue(r.typ, typ)
	}
	if r.err == nil && !r.inside {
		r.err = checkContainers(r.typ, r.e)
	}
}

// resolveStruct returns the engine of a struct type. It needs x.mu.
func (x *Extension) resolveStruct(typ reflect.Type) (*engine, error) {
	if typ == reflect.TypeFor[Table]() {
		return nil, &ModelError{Model: typ.String(), Err: errors.New("a Table is no model: use the builder's Table method")}
	}
	e, err := x.home(typ)
	if unknown := (*UnknownBindError)(nil); errors.As(err, &unknown) {
		return nil, unknown
	}
	if err != nil {
		return nil, &ModelError{Model: typ.String(), Err: err}
	}
	if !e.prepared[typ] {
		if err := x.prepareAlone(e, typ); err != nil {
			return nil, &ModelError{Model: typ.String(), Bind: e.key, Err: err}
		}
	}
	return e, nil
}

// home returns the engine of the struct type t. Its bind key is read once:
// whatever the method says later has no effect.
func (x *Extension) home(t reflect.Type) (*engine, error) {
	if v, ok := x.homes.Load(t); ok {
		if e, ok := v.(*engine); ok {
			return e, nil
		}
	}
	key, err := bindKeyOf(t)
	if err != nil {
		return nil, err
	}
	e, err := x.engine(key)
	if err != nil {
		return nil, err
	}
	v, _ := x.homes.LoadOrStore(t, e)
	first, _ := v.(*engine)
	return first, nil
}

// routeTable returns the engine of a table and its name with the schema.
func (x *Extension) routeTable(t *Table) (*engine, string, error) {
	if t == nil {
		return nil, "", &ModelError{Model: "*Table", Err: errors.New("nil")}
	}
	if d, ok := x.routes.table(t); ok {
		return d.e, d.fullName(), nil
	}
	if t.of != nil && x.engines[t.of.e.key] == t.of.e {
		return t.of.e, t.of.fullName(), nil
	}

	if err := checkTableName(t); err != nil {
		return nil, "", &ModelError{Model: t.qualified(), Bind: t.BindKey, Err: err}
	}
	e, err := x.engine(t.BindKey)
	return e, t.qualified(), err
}
