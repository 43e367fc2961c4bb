package wire

import (
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/fields"
)

// A Registry is a dialect with a registry of tables of its own, which can be
// observed. A driver's dialect embeds Bun's and takes its Tables and
// ObserveTables from a Registry of it.
type Registry struct {
	schema.Dialect

	tables  *schema.Tables
	observe func(*schema.Table)
}

// NewRegistry returns a registry whose tables are built as base says.
func NewRegistry(base schema.Dialect) *Registry {
	r := &Registry{Dialect: base}
	r.tables = schema.NewTables(r)
	return r
}

// Tables returns the registry.
func (r *Registry) Tables() *schema.Tables { return r.tables }

// OnTable is called by Bun with each table that it has built, before anybody
// else sees it.
func (r *Registry) OnTable(t *schema.Table) {
	fields.Describe(t, r.Dialect.OnTable)
	replaceInterfaces(t)
	guardScans(t)
	if r.observe != nil {
		r.observe(t)
	}
}

// ObserveTables makes observe see each table after the dialect has. It must
// be called before the first table is built.
func (r *Registry) ObserveTables(observe func(*schema.Table)) { r.observe = observe }
