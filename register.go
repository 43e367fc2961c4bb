package echobun

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqltype"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// Register declares models, given as (*T)(nil) or &T{}, and tables, given as
// *Table, on their binds. What is declared is what [Extension.CreateAll] and
// [Extension.DropAll] work on. It also does Bun's RegisterModel, so that
// many-to-many relations work; the order of the models does not matter.
//
// A model that is only queried need not be registered, unless it, or a model
// that its relations lead to, has a many-to-many relation.
//
// If anything is wrong nothing is registered, and all faults are returned
// joined, each a [*ModelError]: a bind key that has no engine (it unwraps to
// [*UnknownBindError]), that is ambiguous or whose method panics; two things
// with one table name on one bind; what is not a struct, and what Bun cannot
// build; a Table that is not well formed; a reference or a many-to-many table on
// another bind; a has-many or many-to-many relation by keys of two Go types,
// which Bun never finds equal; an autoincrement column that SQLite cannot number;
// a field that no column can hold, such as a channel, or that has no column type.
//
// Options of bun tags that Bun does not know are a warning in Config.Logger.
//
// Relations to a model of another bind are taken out of what Bun knows, so
// that using one fails by name instead of reading a table of the wrong
// database.
//
// Registering the same thing again is fine.
func (x *Extension) Register(models ...any) error {
	x.mu.Lock()
	defer x.mu.Unlock()

	r := registration{x: x, seen: make(map[reflect.Type]bool), tables: make(map[*engine]map[string]*planned)}
	for i, model := range models {
		r.plan(i, model)
	}
	r.rehearse()
	r.checkReferences()
	if len(r.faults) > 0 {
		r.forget()
		return errors.Join(r.faults...)
	}
	return r.commit()
}

// A registration is one call of Register: everything is planned and rehearsed
// before anything is changed.
type registration struct {
	x       *Extension
	seen    map[reflect.Type]bool           // The models that were planned.
	models  []*planned                      // In the order that Bun has to build them in.
	claimed []*planned                      // What has its table name, models and tables.
	tables  map[*engine]map[string]*planned // The same by folded name.
	faults  []error
}

// planned is one thing to be registered.
type planned struct {
	e    *engine
	name driver.TableName
	turn int // Position among the arguments of Register.

	typ reflect.Type // Of a model.
	def *Table       // Of a Table: a copy.

	original *Table
}

// label is what messages call it.
func (p *planned) label() string {
	if p.def != nil {
		return p.def.qualified()
	}
	return p.typ.String()
}

func (r *registration) fault(model, bind string, err error) {
	r.faults = append(r.faults, &ModelError{Model: model, Bind: bind, Err: err})
}

// plan finds out what model is and where it belongs.
func (r *registration) plan(turn int, model any) {
	if t, ok := model.(*Table); ok {
		r.planTable(turn, t)
		return
	}
	t := reflect.TypeOf(model)
	if t == nil || t.Kind() != reflect.Pointer && t.Kind() != reflect.Struct || t == reflect.TypeFor[Table]() {
		r.fault(fmt.Sprintf("%T", model), DefaultBind, errors.New("not a model: give a (*T)(nil) of a struct, or a *Table"))
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		r.fault(fmt.Sprintf("%T", model), DefaultBind, errors.New("not a struct: give a (*T)(nil) of a struct, or a *Table"))
		return
	}
	if r.seen[t] {
		return
	}
	r.seen[t] = true
	r.planModel(turn, t)
}

func (r *registration) planModel(turn int, t reflect.Type) {
	e, err := r.x.home(t)
	var unknown *UnknownBindError
	switch {
	case errors.As(err, &unknown):
		r.fault(t.String(), unknown.Key, err)
	case err != nil:
		r.fault(t.String(), DefaultBind, err)
	default:
		r.models = append(r.models, &planned{e: e, typ: t, turn: turn})
	}
}

func (r *registration) planTable(turn int, t *Table) {
	if t == nil {
		r.fault("*Table", DefaultBind, errors.New("nil"))
		return
	}
	if t.of != nil && r.x.engines[t.of.e.key] == t.of.e {
		if !t.sameAs(t.of.describe(r.x.foreignKeys)) {
			r.fault(t.qualified(), t.BindKey, fmt.Errorf("it is a changed copy of the Table %q of Metadata: declare a Table of your own", t.of.fullName()))
		}
		return // Else it is registered already.
	}
	if _, ok := r.x.routes.table(t); ok {
		return
	}
	faults := checkTable(t)
	e, err := r.x.engine(t.BindKey)
	if err != nil {
		faults = append(faults, err)
	}
	for _, err := range faults {
		r.fault(t.qualified(), t.BindKey, err)
	}
	if len(faults) == 0 {
		p := &planned{e: e, name: driver.TableName{Schema: t.Schema, Name: t.Name}, turn: turn, def: t.clone(), original: t}
		r.claim(p)
	}
}

// claim takes the table name of p on its bind.
func (r *registration) claim(p *planned) bool {
	full := fullName(p.name)
	name := p.e.metadata.fold(full)
	if d := p.e.metadata.lookup(full); d != nil {
		if p.def == nil && d.table.Type == p.typ {
			return false // The same model again.
		}
		r.fault(p.label(), p.e.key, fmt.Errorf("its table %q is registered on %s already, as %s: "+
			"rename one of them, or move it to another bind", full, bindName(p.e.key), d.label()))
		return false
	}
	if r.tables[p.e] == nil {
		r.tables[p.e] = make(map[string]*planned)
	}
	if other := r.tables[p.e][name]; other != nil {
		if other.original != p.original || other.typ != p.typ {
			r.fault(p.label(), p.e.key, fmt.Errorf("its table %q on %s is also that of %s: "+
				"rename one of them, or move it to another bind", full, bindName(p.e.key), other.label()))
		}
		return false
	}
	r.tables[p.e][name] = p
	r.claimed = append(r.claimed, p)
	return true
}

// rehearse lets Bun build its tables in a scratch registry, where a panic
// does no harm, and learns the models' table names from them. A model with
// many-to-many relations waits for the models of the tables between: Bun
// wants them to be there.
func (r *registration) rehearse() {
	waiting, accepted := r.models, []*planned(nil)
	for progress := true; progress; {
		var still []*planned
		for _, p := range waiting {
			if lacksTable(p.e.scratchTables(), m2mTables(p.typ)) {
				still = append(still, p)
			} else if r.rehearseModel(p) {
				accepted = append(accepted, p)
			}
		}
		progress = len(still) < len(waiting)
		waiting = still
	}
	for _, p := range waiting {
		r.rehearseModel(p) // It says what is missing.
	}

	r.models = nil
	for _, p := range accepted {
		if err := r.rehearseRelations(p.e, p.typ); err != nil {
			r.fault(p.typ.String(), p.e.key, err)
			continue
		}
		r.models = append(r.models, p)
	}
}

func (r *registration) rehearseModel(p *planned) bool {
	table, err := r.rehearseType(p.e, p.typ)
	if err != nil {
		r.fault(p.typ.String(), p.e.key, err)
		return false
	}

	if err := errors.Join(checkQualified(table.Name), checkFields(p.e, table)); err != nil {
		r.fault(p.typ.String(), p.e.key, err)
		return false
	}
	p.name.Schema, p.name.Name = splitName(table.Name)
	return r.claim(p)
}

// rehearseType is rehearse with clearer words for a many-to-many table that
// is not there.
func (r *registration) rehearseType(e *engine, typ reflect.Type) (*schema.Table, error) {
	for _, name := range m2mTables(typ) {
		if err := r.findM2M(e, name); err != nil {
			return nil, err
		}
	}
	return r.x.rehearse(e, typ)
}

func checkFields(e *engine, t *schema.Table) error {
	var errs []error
	if len(t.Fields) == 0 {
		errs = append(errs, errors.New("no columns"))
	}
	errs = append(errs, checkValues(t))
	for _, f := range t.Fields {
		errs = append(errs, checkName("column", f.Name), checkType(e, f))
		if e.db.Dialect().Name() == dialect.SQLite {
			errs = append(errs, checkRowid(t, f))
		}
	}
	return errors.Join(errs...)
}

// checkRowid returns an error for a column that SQLite would have to number and
// cannot: it numbers its rowid alone, and Bun leaves AUTOINCREMENT out of
// anything else without a word. The first INSERT would fail.
func checkRowid(t *schema.Table, f *schema.Field) error {
	switch {
	case !f.AutoIncrement || f.SQLDefault != "":
		return nil
	case f.IsPK && len(t.PKs) > 1:
		return fmt.Errorf("column %q: autoincrement in a composite primary key: SQLite cannot number such rows: "+
			"make it the only key, or set it yourself and leave autoincrement out", f.Name)
	case !f.IsPK || !strings.EqualFold(f.CreateTableSQLType, sqltype.Integer):
		return fmt.Errorf("column %q: autoincrement: SQLite numbers nothing but a primary key of type INTEGER", f.Name)
	}
	return nil
}

// findM2M returns an error unless the table of a many-to-many relation is on e.
func (r *registration) findM2M(e *engine, name string) error {
	if e.scratchTables().ByName(name) != nil {
		return nil
	}
	if other := r.bindOfTable(e, name); other != nil {
		return fmt.Errorf("its many-to-many table %q is on %s and not on %s: both ends and the table between them have to be on one bind",
			name, bindName(other.key), bindName(e.key))
	}
	return fmt.Errorf("its many-to-many table %q has no model on %s: register that model too", name, bindName(e.key))
}

// bindOfTable returns an engine other than e that has, or is about to have, a
// table of that name.
func (r *registration) bindOfTable(e *engine, name string) *engine {
	for _, key := range r.x.keys() {
		other := r.x.engines[key]
		if other == e {
			continue
		}
		if other.metadata.lookup(name) != nil || r.tables[other][other.metadata.fold(name)] != nil {
			return other
		}
	}
	return nil
}

// checkReferences finds references of Tables to a table of another bind.
func (r *registration) checkReferences() {
	for _, p := range r.claimed {
		if p.def != nil {
			r.checkReferencesOf(p.e, p)
		}
	}
}

func (r *registration) checkReferencesOf(e *engine, p *planned) {
	for _, c := range p.def.Columns {
		if c.References == "" {
			continue
		}
		parent, _ := splitName(c.References)
		if e.metadata.lookup(parent) != nil || r.tables[e][e.metadata.fold(parent)] != nil {
			continue
		}
		if other := r.bindOfTable(e, parent); other != nil {
			r.fault(p.label(), e.key, fmt.Errorf("column %q: References %q: that table is on %s and not on %s: "+
				"a foreign key cannot leave its database", c.Name, c.References, bindName(other.key), bindName(e.key)))
		}
	}
}

// forget drops the scratch registries that know of models which are not registered.
func (r *registration) forget() {
	for _, e := range r.x.engines {
		e.scratch = nil
	}
}

// commit registers what was planned. What was rehearsed cannot fail, but on an
// engine of the application's own where Bun has met it before.
func (r *registration) commit() error {
	for _, p := range r.models { // All of them first, for relations lead from one to the next.
		if err := p.e.build(p.typ); err != nil {
			r.fault(p.label(), p.e.key, err)
		}
	}
	for _, p := range r.models {
		if len(r.faults) > 0 {
			break
		}
		if err := r.x.prepare(p.e, p.typ); err != nil {
			r.fault(p.label(), p.e.key, err)
		}
	}
	if len(r.faults) > 0 {
		r.forget()
		return errors.Join(r.faults...)
	}

	slices.SortFunc(r.claimed, func(a, b *planned) int { return a.turn - b.turn })
	for _, p := range r.claimed {
		d := &declared{e: p.e, name: p.name, def: p.def}
		if p.def != nil {
			d.table = structTable(p.e, p.def)
			r.x.routes.addTable(p.original, d)
			r.x.homes.Store(d.table.Type, p.e) // A hook may ask where the model is that stands for the Table.
			p.e.setPrepared(d.table.Type)
		} else {
			d.table = p.e.db.Table(p.typ)
			r.x.warnOfTags(p.e, d.table)
		}
		d.model = reflect.Zero(reflect.PointerTo(d.table.Type)).Interface()
		p.e.metadata.add(d)
	}
	r.x.publishJoins()
	r.x.routes.forgetFailures()
	return nil
}
