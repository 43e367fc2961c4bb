package driver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

var registry = struct {
	sync.RWMutex // Protects drivers.

	drivers map[string]Driver
}{drivers: make(map[string]Driver)}

// ours lists the databases that this module has a driver for.
var ours = map[string]struct {
	pkg   string   // Package below this one.
	names []string // What may follow "+": that package's name, or Python's drivers for the same database.
}{
	"postgresql": {pkg: "pgx", names: []string{
		"pgx", "psycopg", "psycopg2", "psycopg2cffi", "psycopg_async", "asyncpg", "pg8000",
	}},
	"mysql": {pkg: "mysql", names: []string{
		"mysql", "pymysql", "mysqldb", "mysqlconnector", "mariadbconnector", "aiomysql", "asyncmy", "cymysql",
	}},
	"sqlite": {pkg: "sqlite", names: []string{"sqlite", "pysqlite", "aiosqlite"}},
}

// Register makes a driver available under a URL scheme: "postgresql" for a
// kind of database, "postgresql+foo" for a driver by name. Like sql.Register
// it is meant to be called from the init function of a driver's package, and
// panics if d is nil, or if the scheme is taken, malformed, or an alias that
// URLs are never left with (postgres, mariadb). It is safe for concurrent use.
func Register(scheme string, d Driver) {
	registry.Lock()
	defer registry.Unlock()

	if d == nil {
		panic(fmt.Sprintf("driver: Register of a nil driver for scheme %q", scheme))
	}
	dialect, _, ok := splitScheme(scheme)
	if !ok {
		panic(fmt.Sprintf(`driver: scheme %q is malformed: want "dialect" or "dialect+driver"`, scheme))
	}
	if canonical := canonicalScheme(dialect); canonical != dialect {
		panic(fmt.Sprintf("driver: scheme %q is an alias: register %q", dialect, canonical))
	}
	if _, taken := registry.drivers[scheme]; taken {
		panic(fmt.Sprintf("driver: scheme %q is already registered", scheme))
	}
	registry.drivers[scheme] = d
}

// Drivers returns the registered drivers by scheme, in a map of the caller's
// own. It is safe for concurrent use.
func Drivers() map[string]Driver {
	registry.RLock()
	defer registry.RUnlock()

	return maps.Clone(registry.drivers)
}

// Lookup returns the driver for a URL. A driver that is registered by name, as
// "postgresql+foo", serves the URLs that name it. The others go to the driver
// of their scheme, among them those that name one of Python's drivers for the
// same database, so that a Flask application's URLs work as they are. The error
// says which package to import. It is safe for concurrent use.
func Lookup(u *URL) (Driver, error) {
	drivers := Drivers()
	scheme := canonicalScheme(u.Scheme)
	if u.Driver != "" {
		if d, ok := drivers[scheme+"+"+u.Driver]; ok {
			return d, nil
		}
		if !slices.Contains(ours[scheme].names, u.Driver) {
			return nil, unknownDriver(scheme, u.Driver, drivers)
		}
	}
	if d, ok := drivers[scheme]; ok {
		return d, nil
	}
	if own, ok := ours[scheme]; ok {
		return nil, fmt.Errorf("driver: no driver for %q: add import _ %q", scheme,
			"github.com/echobun/echobun/driver/"+own.pkg)
	}
	return nil, fmt.Errorf("driver: no driver for %q: import a package that registers it (registered: %s)",
		scheme, registered(drivers))
}

func unknownDriver(scheme, name string, drivers map[string]Driver) error {
	if own, ok := ours[scheme]; ok {
		return fmt.Errorf("driver: no driver %q for %q: leave out %q, or write one of: %s (registered: %s)",
			name, scheme, "+"+name, strings.Join(own.names, ", "), registered(drivers))
	}
	return fmt.Errorf("driver: no driver %q for %q: import a package that registers %q (registered: %s)",
		name, scheme, scheme+"+"+name, registered(drivers))
}

func registered(drivers map[string]Driver) string {
	if len(drivers) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(drivers)), ", ")
}
