package wire

import (
	"sync/atomic"

	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// A Registry is a registry of tables for a driver's dialect, which can be
// observed and renewed. The dialect embeds Bun's and takes its Tables,
// ObserveTables and RenewTables from a Registry of it.
type Registry struct {
	base    schema.Dialect
	tables  atomic.Pointer[schema.Tables]
	observe func(*schema.Table)
}

// NewRegistry returns a registry whose tables are built as base says.
func NewRegistry(base schema.Dialect) *Registry {
	r := &Registry{base: base}
	r.tables.Store(r.empty())
	return r
}

// Tables returns the registry.
func (r *Registry) Tables() *schema.Tables { return r.tables.Load() }

// ObserveTables makes observe see each table after the dialect has. It must
// be called before the first table is built.
func (r *Registry) ObserveTables(observe func(*schema.Table)) { r.observe = observe }

// RenewTables puts an empty registry in the place of the present one, once build
// has filled it and returned true. Queries that have begun keep the tables that
// they know. It must not be called twice at a time.
func (r *Registry) RenewTables(build func(*schema.Tables) bool) {
	if tables := r.empty(); build(tables) {
		r.tables.Store(tables)
	}
}

// empty returns a registry of which only its own tables know.
func (r *Registry) empty() *schema.Tables {
	g := &generation{Dialect: r.base, registry: r}
	g.tables = schema.NewTables(g)
	return g.tables
}

// A generation is the dialect of the tables of one registry. They find each
// other there, and not in the one that has come after it.
type generation struct {
	schema.Dialect

	registry *Registry
	tables   *schema.Tables
}

// Tables returns the registry of this generation.
func (g *generation) Tables() *schema.Tables { return g.tables }

// A FieldsObserver is a dialect that wants to know how the fields of a table are
// written, once they have been cured.
type FieldsObserver interface{ OnFields(t *schema.Table) }

// OnTable is called by Bun with each table that it has built, before anybody
// else sees it.
func (g *generation) OnTable(t *schema.Table) {
	fields.Describe(t, g.Dialect.OnTable)
	if d, ok := g.Dialect.(FieldsObserver); ok {
		d.OnFields(t)
	}
	replaceInterfaces(t)
	guardScans(t)
	if g.registry.observe != nil {
		g.registry.observe(t)
	}
}
