package pgx

import (
	sqldriver "database/sql/driver"

	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

func init() {
	driver.Register("postgresql", postgres{})
	driver.Register("postgresql+pgx", postgres{})
}

// postgres is the driver.
type postgres struct{}

var (
	_ driver.Driver    = postgres{}
	_ driver.Explainer = postgres{}
	_ driver.TypeNamer = postgres{}
	_ driver.DDL       = postgres{}
	_ driver.TwoPhase  = postgres{}
)

// Dialect returns a fresh dialect.
func (postgres) Dialect() schema.Dialect { return newDialect() }

// Connector returns the connector of one pool. It reads the PG* variables and
// the files that the URL or they name, and fails on what is wrong with them.
func (postgres) Connector(u *driver.URL, o driver.Options) (sqldriver.Connector, error) {
	cfg, err := newConfig(u, o)
	if err != nil {
		return nil, err
	}
	return newConnector(cfg, o), nil
}

// typeNames are PostgreSQL's names of the portable column types.
var typeNames = map[string]string{
	"text":        "text",
	"largebinary": "bytea",
	"datetime":    "timestamptz",
	"json":        "jsonb",
	"uuid":        "uuid",
}

// TypeName returns the SQL type for a portable kind.
func (postgres) TypeName(kind string) string { return typeNames[kind] }
