package echobun

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/schema"
)

// Bun builds its description of a type when it first meets it. If that
// panics, as it does for a many-to-many relation whose table it has not met,
// the type is broken in that registry for good. So every type is built in a
// registry that can be thrown away first.

// scratchDialect is an engine's dialect with a registry of its own.
type scratchDialect struct {
	schema.Dialect

	tables *schema.Tables
}

func (d *scratchDialect) Tables() *schema.Tables { return d.tables }

// scratchTables returns the engine's scratch registry, made anew if the last
// one was thrown away. It is built in the order in which Bun has built what the
// engine's own registry knows: in another one Bun may refuse it, for it wants
// the table of a many-to-many relation to be there before the models that it
// joins. It needs the extension's mu.
func (e *engine) scratchTables() *schema.Tables {
	if e.scratch != nil {
		return e.scratch
	}
	e.scratch, e.followed, e.refused = e.emptyTables(), make(map[reflect.Type]bool), make(map[reflect.Type]error)
	for _, typ := range e.built {
		if _, err := buildIn(e.scratch, typ); err != nil {
			e.refused[typ] = err
		}
	}
	return e.scratch
}

// buildIn makes Bun build a type, and returns its panic as an error.
func buildIn(tables *schema.Tables, typ reflect.Type) (table *schema.Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			table, err = nil, fmt.Errorf("%v", p)
		}
	}()
	return tables.Get(typ), nil
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
func (x *Extension) rehearse(e *engine, typ reflect.Type) (*schema.Table, error) {
	tables := e.scratchTables()
	if err := e.refused[typ]; err != nil {
		return nil, err // Bun would give another answer the second time.
	}
	table, err := buildIn(tables, typ)
	if err != nil {
		e.refused[typ] = err
		return nil, err
	}
	for _, rel := range relations(table) {
		if err := x.checkRelation(e, rel); err != nil {
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
	if !hasRelations(typ) {
		// Nothing else can be at fault, and nothing else hangs on it.
		if _, err := buildIn(e.emptyTables(), typ); err != nil {
			return err
		}
		e.setPrepared(typ)
		return nil
	}

	r := registration{x: x}
	_, err := r.rehearseType(e, typ)
	if err == nil {
		err = r.rehearseRelations(e, typ)
	}
	if err == nil {
		err = x.prepare(e, typ)
	}
	if err != nil {
		e.scratch = nil
		return err
	}
	x.publishJoins()
	return nil
}

// setPrepared remembers that a type can be used on the engine. It needs the
// extension's mu.
func (e *engine) setPrepared(typ reflect.Type) {
	if e.prepared == nil {
		e.prepared = make(map[reflect.Type]bool)
	}
	e.prepared[typ] = true
}

// prepare builds a type that was rehearsed, and those that its relations lead
// to, in the engine's own registry. It needs x.mu.
func (x *Extension) prepare(e *engine, typ reflect.Type) error {
	if e.prepared[typ] {
		return nil
	}
	if err := e.build(typ); err != nil {
		return err
	}
	table := e.db.Table(typ)
	if !e.observed {
		x.prune(e, table)
	}

	e.setPrepared(typ) // First, for its relations may lead back here.
	if err := x.prepareRelations(e, table); err != nil {
		delete(e.prepared, typ)
		return err
	}
	return nil
}

func (x *Extension) prepareRelations(e *engine, table *schema.Table) error {
	for _, rel := range relations(table) {
		if rel.M2MTable != nil {
			if err := x.prepare(e, rel.M2MTable.Type); err != nil {
				return err
			}
			x.addJoin(joinModel{rel.M2MTable.Name, rel.M2MTable.Type})
		}
		if hasRelations(rel.JoinTable.Type) {
			if err := x.prepare(e, rel.JoinTable.Type); err != nil {
				return fmt.Errorf("relation %s to %s: %w", rel.Field.GoName, rel.JoinTable.Type, err)
			}
		}
	}
	return nil
}

// prune takes out a table's relations to models of other binds, so that using
// one fails by name. A model that Bind reaches on a bind which is not its home
// keeps those to models of its home.
func (x *Extension) prune(e *engine, table *schema.Table) {
	home, _ := x.home(table.Type)
	kept := make(map[string]*schema.Relation, len(table.Relations))
	for name, rel := range table.Relations {
		if related, err := x.home(rel.JoinTable.Type); err == nil && (related == e || related == home) {
			kept[name] = rel
		}
	}
	if len(kept) < len(table.Relations) {
		table.Relations = kept // A new map: somebody may be reading the old one.
	}
}

// A joinModel is the model of a many-to-many table.
type joinModel struct {
	table string
	typ   reflect.Type
}

// addJoin remembers the model of a many-to-many table. It needs x.mu.
func (x *Extension) addJoin(join joinModel) {
	if !slices.Contains(x.joins, join) {
		x.joins = append(x.joins, join)
	}
}

// publishJoins makes the engines learn the joins that were added. It needs x.mu.
func (x *Extension) publishJoins() {
	if n := int64(len(x.joins)); n > x.joinCount.Load() {
		buildJoins(x.failing.Dialect().Tables(), x.joins)
		x.joinCount.Store(n)
	}
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

	buildJoins(e.db.Dialect().Tables(), x.joins)
	e.joins.Store(int64(len(x.joins)))
}

// buildJoins makes a registry know the models of many-to-many tables. Bun finds
// them by name: what the registry has of its own must stay the only one. A model
// that has such relations itself comes after the models of their tables.
func buildJoins(tables *schema.Tables, joins []joinModel) {
	for range joins { // As often as each may wait for another one.
		waiting := false
		for _, join := range joins {
			switch {
			case tables.ByName(join.table) != nil:
			case lacksTable(tables, m2mTables(join.typ)):
				waiting = true
			default:
				_, _ = buildIn(tables, join.typ)
			}
		}
		if !waiting {
			return
		}
	}
}

// lacksTable reports whether one of the tables is not in the registry.
func lacksTable(tables *schema.Tables, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return tables.ByName(name) == nil })
}

// hasRelations reports whether a model may have relations.
func hasRelations(t reflect.Type) bool {
	return anyTag(t, make(map[reflect.Type]bool), func(option string) bool {
		return strings.HasPrefix(option, "rel:") || strings.HasPrefix(option, "m2m:")
	})
}

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
		if f.Tag.Get("bun") == "-" {
			continue
		}
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
