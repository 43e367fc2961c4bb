package mysql

import (
	sqldriver "database/sql/driver"
	"fmt"
	"strings"

	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

func init() {
	driver.Register("mysql", mysqlDriver{})
	driver.Register("mysql+mysql", mysqlDriver{})
}

// mysqlDriver is the [driver.Driver] of this package.
type mysqlDriver struct{}

var (
	_ driver.Driver    = mysqlDriver{}
	_ driver.Explainer = mysqlDriver{}
	_ driver.TypeNamer = mysqlDriver{}
	_ driver.Defaulter = mysqlDriver{}
	_ driver.DDL       = mysqlDriver{}
	_ driver.TwoPhase  = mysqlDriver{}
)

// Dialect returns Bun's dialect with the cures of this package. It learns what
// the server can do from the connector of the pool that it is used with.
func (mysqlDriver) Dialect() schema.Dialect { return newDialect() }

// Connector returns a connector for u. Every mistake that shows without a
// server is an error that names the parameter.
func (mysqlDriver) Connector(u *driver.URL, o driver.Options) (sqldriver.Connector, error) {
	s, err := newSettings(u, o)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	return newConnector(s, o)
}

// Classify says what kind of failure err is.
func (mysqlDriver) Classify(err error) driver.Class { return classify(err) }

// TypeName returns the SQL type for one of the portable kinds.
func (mysqlDriver) TypeName(kind string) string { return typeNames[kind] }

var typeNames = map[string]string{
	"text":        "longtext",
	"largebinary": "longblob",
	"datetime":    "datetime(6)",
	"time":        "time(6)",
	"json":        "json",
	"uuid":        "char(36)",
}

// DefaultExpr returns the default of a column. The current time needs as many
// digits as its column has, and the large types take only what stands in
// brackets.
func (mysqlDriver) DefaultExpr(kind, expr string) string {
	switch kind {
	case "datetime":
		return nowWith(strings.TrimSpace(expr), "6")
	case "text", "largebinary", "json":
		return "(" + expr + ")"
	}
	return expr
}
