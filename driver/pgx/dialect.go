package pgx

import (
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/wire"
)

// dialect is Bun's, with tables that can be observed.
type dialect struct {
	*pgdialect.Dialect

	registry *wire.Registry
}

func newDialect() *dialect {
	d := &dialect{Dialect: pgdialect.New()}
	d.registry = wire.NewRegistry(d.Dialect)
	return d
}

// Tables returns the registry.
func (d *dialect) Tables() *schema.Tables { return d.registry.Tables() }

// ObserveTables implements driver.TableObserver.
func (d *dialect) ObserveTables(observe func(*schema.Table)) { d.registry.ObserveTables(observe) }
