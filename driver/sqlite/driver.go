package sqlite

import (
	sqldriver "database/sql/driver"

	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

func init() {
	driver.Register("sqlite", sqliteDriver{})
	driver.Register("sqlite+modernc", sqliteDriver{})
}

var (
	_ driver.Driver    = sqliteDriver{}
	_ driver.DDL       = sqliteDriver{}
	_ driver.Explainer = sqliteDriver{}
	_ driver.TypeNamer = sqliteDriver{}
)

// sqliteDriver is the driver of SQLite databases. It has no state.
type sqliteDriver struct{}

// Dialect returns a fresh dialect.
func (sqliteDriver) Dialect() schema.Dialect { return newDialect() }

// Connector reads the URL and makes the instance folder if a relative file
// name needs it. It opens nothing else.
func (sqliteDriver) Connector(u *driver.URL, o driver.Options) (sqldriver.Connector, error) {
	return newConnector(u, o)
}

// Classify looks at SQLite's extended result codes.
func (sqliteDriver) Classify(err error) driver.Class { return classify(err) }

// TypeName names the portable types of columns. Only the names DATE, DATETIME
// and TIMESTAMP make the driver return a [time.Time].
func (sqliteDriver) TypeName(kind string) string {
	switch kind {
	case "text":
		return "text"
	case "largebinary":
		return "blob"
	case "datetime":
		return "timestamp"
	case "json":
		return "json"
	case "uuid":
		return "char(36)"
	default:
		return kind
	}
}
