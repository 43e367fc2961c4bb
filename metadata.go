package echobun

import (
	"slices"
	"strings"
	"sync"

	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// Metadata is what is declared on one bind: its models and tables. It is safe
// for concurrent use, and grows when [Extension.Register] does.
type Metadata struct {
	x *Extension
	e *engine

	mu     sync.RWMutex         // Protects what follows.
	order  []*declared          // In order of registration.
	byName map[string]*declared // By the form of the name that the database compares.
}

// BindKey returns the bind key.
func (m *Metadata) BindKey() string { return m.e.key }

// Tables returns the declared tables, those of models too, parents before
// their children. They are copies: a copy routes as the table it is a copy
// of, and changing it has no effect.
func (m *Metadata) Tables() []*Table {
	var tables []*Table
	for _, d := range inOrder(m.declared()) {
		tables = append(tables, d.describe(m.x.foreignKeys))
	}
	return tables
}

// Table returns the declared table of that name, "schema.name" where it has a
// schema, as a copy.
func (m *Metadata) Table(name string) (*Table, bool) {
	d := m.lookup(name)
	if d == nil {
		return nil, false
	}
	return d.describe(m.x.foreignKeys), true
}

func (m *Metadata) declared() []*declared {
	m.mu.RLock()
	defer m.mu.RUnlock()

	return slices.Clone(m.order)
}

func (m *Metadata) lookup(name string) *declared {
	m.mu.RLock()
	defer m.mu.RUnlock()

	return m.byName[m.fold(name)]
}

func (m *Metadata) add(d *declared) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.byName == nil {
		m.byName = make(map[string]*declared)
	}
	m.order = append(m.order, d)
	m.byName[m.fold(d.fullName())] = d
}

// fold returns name in the form in which two names of this database are the
// same: all but PostgreSQL may not tell upper from lower case.
func (m *Metadata) fold(name string) string {
	if m.e.db.Dialect().Name() == dialect.PG {
		return name
	}
	return strings.ToLower(name)
}

// declared is a model or a table that is registered.
type declared struct {
	e     *engine
	name  driver.TableName
	table *schema.Table // Bun's description of it.
	model any           // A nil pointer of its Go type, for Bun's builders.
	def   *Table        // The copy of what was registered; nil for a model.
}

// fullName returns the name with its schema.
func (d *declared) fullName() string { return fullName(d.name) }

// label is what messages call d.
func (d *declared) label() string {
	if d.def != nil {
		return "Table " + d.fullName()
	}
	return d.table.Type.String()
}

// describe returns d as a Table.
func (d *declared) describe(relationKeys bool) *Table {
	if d.def != nil {
		t := d.def.clone()
		t.of = d
		return t
	}

	t := &Table{Name: d.name.Name, Schema: d.name.Schema, BindKey: d.e.key, of: d}
	references := make(map[string]string)
	for _, key := range d.foreignKeys(relationKeys) {
		if len(key.columns) == 1 {
			references[key.columns[0]] = key.parent + "." + key.parentColumns[0]
		}
	}
	for _, f := range d.table.Fields {
		t.Columns = append(t.Columns, Column{
			Name:          f.Name,
			Type:          SQL(f.CreateTableSQLType),
			PrimaryKey:    f.IsPK,
			AutoIncrement: f.AutoIncrement,
			NotNull:       f.NotNull,
			Unique:        slices.Contains(d.table.Unique[""], f),
			Default:       f.SQLDefault,
			References:    references[f.Name],
		})
	}
	return t
}

// A foreignKey is a foreign key of a declared table.
type foreignKey struct {
	columns       []string
	parent        string // Name of the table, with its schema if it has one.
	parentColumns []string
	actions       string // ON UPDATE and ON DELETE, where there are any.
}

// foreignKeys returns the foreign keys that the table is created with: the
// References of a Table; with relationKeys also a model's relations.
func (d *declared) foreignKeys(relationKeys bool) []foreignKey {
	var keys []foreignKey
	if d.def != nil {
		for _, c := range d.def.Columns {
			if c.References != "" {
				parent, column := splitName(c.References)
				keys = append(keys, foreignKey{columns: []string{c.Name}, parent: parent, parentColumns: []string{column}})
			}
		}
		return keys
	}
	if !relationKeys {
		return nil
	}
	for _, rel := range relations(d.table) {
		if refers(d.table, rel) {
			keys = append(keys, foreignKey{
				columns:       fieldNames(rel.BasePKs),
				parent:        rel.JoinTable.Name,
				parentColumns: fieldNames(rel.JoinPKs),
				actions:       strings.TrimSpace(rel.OnUpdate + " " + rel.OnDelete),
			})
		}
	}
	return keys
}

// refers reports whether a relation of t is a foreign key. Bun's own answer
// leaves out a belongs-to by columns of the primary key, unless it has met a
// many-to-many relation over t: it may be a has-one by another name. Where it
// leads to a key of the other table, and no such relation leads back, it is not.
func refers(t *schema.Table, rel *schema.Relation) bool {
	if rel.References() {
		return true
	}
	return rel.Type == schema.BelongsToRelation && isKey(rel.JoinTable, rel.JoinPKs) &&
		!slices.ContainsFunc(relations(rel.JoinTable), func(back *schema.Relation) bool {
			return back.Type == schema.BelongsToRelation && back.JoinTable == t &&
				slices.Equal(back.BasePKs, rel.JoinPKs) && slices.Equal(back.JoinPKs, rel.BasePKs)
		})
}

// isJunction reports whether a table has a composite primary key all of whose
// columns refer to other tables. Bun takes it for one only if a many-to-many
// relation over it is built first.
func isJunction(t *schema.Table) bool {
	referring := make(map[*schema.Field]bool, len(t.PKs))
	for _, rel := range relations(t) {
		switch {
		case rel.Type == schema.HasOneRelation:
			return false // Bun would make a foreign key of it as well.
		case rel.Type == schema.BelongsToRelation && isKey(rel.JoinTable, rel.JoinPKs):
			for _, f := range rel.BasePKs {
				referring[f] = true
			}
		}
	}
	return len(t.PKs) > 1 && !slices.ContainsFunc(t.PKs, func(f *schema.Field) bool { return !referring[f] })
}

// isKey reports whether the fields are a table's primary key, or unique.
func isKey(t *schema.Table, fields []*schema.Field) bool {
	if len(fields) == 1 && slices.Contains(t.Unique[""], fields[0]) {
		return true
	}
	if len(fields) != len(t.PKs) {
		return false
	}
	for _, f := range fields {
		if !slices.Contains(t.PKs, f) {
			return false
		}
	}
	return len(fields) > 0
}

// relations returns a table's relations by name, in alphabetical order.
func relations(t *schema.Table) []*schema.Relation {
	names := make([]string, 0, len(t.Relations))
	for name := range t.Relations {
		names = append(names, name)
	}
	slices.Sort(names)

	rels := make([]*schema.Relation, len(names))
	for i, name := range names {
		rels[i] = t.Relations[name]
	}
	return rels
}

func fieldNames(fields []*schema.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}
