package echobun

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/schema"
)

// Bun builds its description of a type when it first meets it. If that
// panics, as it does for a many-to-many relation whose table it has not met,
// the type is broken in that registry for good. So every type with relations
// is built in a scratch registry first.

// scratchDialect is an engine's dialect with a registry of its own.
type scratchDialect struct {
	schema.Dialect

	tables *schema.Tables
}

func (d *scratchDialect) Tables() *schema.Tables { return d.tables }

// scratchTables returns the engine's scratch registry, made anew with what is
// registered if the last one was thrown away. It needs the extension's mu.
func (e *engine) scratchTables() *schema.Tables {
	if e.scratch != nil {
		return e.scratch
	}
	tables := e.emptyTables()
	for _, last := range []bool{false, true} {
		for _, known := range e.metadata.declared() {
			if known.def == nil && hasM2M(known.table.Type) == last {
				tables.Get(known.table.Type)
			}
		}
	}
	e.scratch, e.followed, e.refused = tables, make(map[reflect.Type]bool), make(map[reflect.Type]error)
	return e.scratch
}

// emptyTables returns a registry that builds types as the engine's does. It
// is not the engine's dialect that is asked where there is a driver: on MySQL
// that one may want to know the server's version.
func (e *engine) emptyTables() *schema.Tables {
	if e.owned {
		return e.drv.Dialect().Tables()
	}
	d := &scratchDialect{Dialect: e.db.Dialect()}
	d.tables = schema.NewTables(d)
	return d.tables
}

// rehearse builds a type in the scratch registry. After an error the scratch
// registry must be thrown away, at the latest when x.mu is let go. It needs x.mu.
func (x *Extension) rehearse(e *engine, typ reflect.Type) (table *schema.Table, err error) {
	tables := e.scratchTables()
	if err := e.refused[typ]; err != nil {
		return nil, err // Bun would give another answer the second time.
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
			e.refused[typ] = err
		}
	}()

	table = tables.Get(typ)
	for _, rel := range relations(table) {
		var unknown *UnknownBindError
		if _, err := x.home(rel.JoinTable.Type); err != nil && !errors.As(err, &unknown) {
			return nil, fmt.Errorf("relation %s: %w", rel.Field.GoName, err)
		}
	}
	return table, nil
}

// rehearseRelations rehearses all types that a rehearsed type's relations
// lead to on the same bind, for Bun builds them when a relation is used.
func (r *registration) rehearseRelations(e *engine, typ reflect.Type) error {
	if e.followed[typ] {
		return nil
	}
	e.followed[typ] = true
	for _, rel := range relations(e.scratchTables().Get(typ)) {
		related := rel.JoinTable.Type
		if home, err := r.x.home(related); err != nil || home != e {
			continue
		}
		_, err := r.rehearseType(e, related)
		if err == nil {
			err = r.rehearseRelations(e, related)
		}
		if err != nil {
			return fmt.Errorf("relation %s to %s: %w", rel.Field.GoName, related, err)
		}
	}
	return nil
}

// prepareAlone rehearses and prepares a type that is not registered. It needs
// x.mu.
func (x *Extension) prepareAlone(e *engine, typ reflect.Type) error {
	r := registration{x: x}
	_, err := r.rehearseType(e, typ)
	if err == nil {
		err = r.rehearseRelations(e, typ)
	}
	if err != nil {
		e.scratch = nil
		return err
	}
	x.prepare(e, typ)
	return nil
}

// prepare builds a type that was rehearsed, and those that its relations lead
// to, in the engine's own registry, and takes out their relations to models
// of other binds. It needs x.mu.
func (x *Extension) prepare(e *engine, typ reflect.Type) {
	if e.prepared[typ] {
		return
	}
	if e.prepared == nil {
		e.prepared = make(map[reflect.Type]bool)
	}
	e.prepared[typ] = true

	table := e.db.Table(typ)
	kept := make(map[string]*schema.Relation, len(table.Relations))
	for _, rel := range relations(table) {
		if home, err := x.home(rel.JoinTable.Type); err == nil && home == e {
			kept[rel.Field.GoName] = rel
		}
	}
	if len(kept) < len(table.Relations) {
		table.Relations = kept // A new map: somebody may be reading the old one through Bind.
	}
	for _, rel := range relations(table) {
		if rel.M2MTable != nil {
			x.addJoin(rel.M2MTable.Type)
		}
		if hasRelations(rel.JoinTable.Type) {
			x.prepare(e, rel.JoinTable.Type)
		}
	}
}

// addJoin remembers the model of a many-to-many table. It needs x.mu.
func (x *Extension) addJoin(typ reflect.Type) {
	if slices.Contains(x.joins, typ) {
		return
	}
	x.joins = append(x.joins, typ)
	x.failing.Table(typ)
	x.joinCount.Store(int64(len(x.joins)))
}

// learnJoins makes the models of all many-to-many tables known to the
// engine's dialect, so that a model can be used there through Bind though its
// home is another bind.
func (e *engine) learnJoins(x *Extension) {
	if e.joins.Load() == x.joinCount.Load() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()

	// Bun finds them by name: what the engine has of its own must stay the only one.
	known := make(map[string]bool)
	for _, table := range e.db.Dialect().Tables().All() {
		known[table.Name] = true
	}
	for _, typ := range x.joins[e.joins.Load():] {
		if !known[x.failing.Table(typ).Name] {
			e.db.Table(typ)
		}
	}
	e.joins.Store(int64(len(x.joins)))
}

// hasRelations reports whether a model may have relations.
func hasRelations(t reflect.Type) bool {
	return anyTag(t, make(map[reflect.Type]bool), func(option string) bool {
		return strings.HasPrefix(option, "rel:") || strings.HasPrefix(option, "m2m:")
	})
}

// hasM2M reports whether a model has many-to-many relations.
func hasM2M(t reflect.Type) bool { return len(m2mTables(t)) > 0 }

// m2mTables returns the names of the tables between a model and those it has
// many-to-many relations to.
func m2mTables(t reflect.Type) []string {
	var names []string
	anyTag(t, make(map[reflect.Type]bool), func(option string) bool {
		if name, ok := strings.CutPrefix(option, "m2m:"); ok {
			names = append(names, name)
		}
		return false
	})
	return names
}

// anyTag reports whether an option of a bun tag, of t or what it embeds,
// makes found true.
func anyTag(t reflect.Type, seen map[reflect.Type]bool, found func(option string) bool) bool {
	t = indirect(t)
	if t.Kind() != reflect.Struct || seen[t] {
		return false
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && anyTag(f.Type, seen, found) {
			return true
		}
		for option := range strings.SplitSeq(f.Tag.Get("bun"), ",") {
			if found(option) || strings.HasPrefix(option, "embed:") && anyTag(f.Type, seen, found) {
				return true
			}
		}
	}
	return false
}
