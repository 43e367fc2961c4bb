package echobun

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/uptrace/bun/schema"
)

// tableRenewer is a dialect of this module's drivers, whose registry of tables
// can be replaced.
type tableRenewer interface {
	// RenewTables puts a registry that build has filled in the place of the
	// present one, unless build returns false.
	RenewTables(build func(*schema.Tables) bool)
}

// build makes Bun build a type that was rehearsed in the engine's own
// registry. It needs the extension's mu.
func (e *engine) build(typ reflect.Type) error {
	if _, err := buildIn(e.db.Dialect().Tables(), typ); err != nil && !e.renew(typ) {
		return fmt.Errorf("it was used through Bind or an engine before it was registered, and Bun cannot build it any more: %w", err)
	}
	if !e.isBuilt[typ] {
		if e.isBuilt == nil {
			e.isBuilt = make(map[reflect.Type]bool)
		}
		e.isBuilt[typ] = true
		e.built = append(e.built, typ)
	}
	return nil
}

// renew replaces the engine's registry by one in which typ is built, and
// reports whether it could. A type that was rehearsed and cannot be built was
// used through Bind before the table of its many-to-many relation was known,
// and is half built; or another model of that table was queried before, which
// Bun, as it looks for a table by its name, may take for it. What Bun has built
// for others than this package it builds again when it is used.
func (e *engine) renew(typ reflect.Type) (renewed bool) {
	renewer, ok := e.db.Dialect().(tableRenewer)
	if !ok || !e.observed {
		return false
	}
	renewer.RenewTables(func(tables *schema.Tables) bool {
		for _, built := range append(slices.Clip(e.built), typ) {
			if _, err := buildIn(tables, built); err != nil {
				return false
			}
		}
		for _, d := range e.metadata.declared() {
			if d.def != nil {
				e.naming.Store(d.table.Type, d.def)
				_, _ = buildIn(tables, d.table.Type)
			}
		}
		buildJoins(tables, e.metadata.x.joins)
		renewed = true
		return true
	})
	return renewed
}
