// Package data is what all peers work on: where the databases are, the tables,
// and the rows.
package data

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // Registers "pgx".
	_ "modernc.org/sqlite"             // Registers "sqlite".
)

// PoolSize is the size of every pool of every peer.
const PoolSize = 15

// A Kind is a kind of database.
type Kind string

// The kinds, by their names in tables and plots.
const (
	SQLite     Kind = "SQLite"
	PostgreSQL Kind = "PostgreSQL"
	MariaDB    Kind = "MariaDB"
)

// A Database is one database.
type Database struct {
	Kind Kind
	// URL is what echobun takes. It has no parameters.
	URL string
}

// File returns a SQLite database in a file.
func File(path string) Database {
	return Database{Kind: SQLite, URL: "sqlite:///" + path}
}

// Path returns the file of a SQLite database.
func (d Database) Path() string { return strings.TrimPrefix(d.URL, "sqlite:///") }

// Driver returns the name that the database's driver has in database/sql.
func (d Database) Driver() string {
	return map[Kind]string{SQLite: "sqlite", PostgreSQL: "pgx", MariaDB: "mysql"}[d.Kind]
}

// DSN returns the data source name that a user of the driver starts with: only
// what is needed to read the tables, everything else by the driver's defaults.
func (d Database) DSN() string {
	switch d.Kind {
	case SQLite:
		return d.Path()
	case MariaDB:
		cfg := d.mysql()
		return cfg.FormatDSN()
	default:
		return d.URL
	}
}

// TunedDSN returns the data source name with the settings of echobun's SQLite
// driver. For servers it is [Database.DSN].
func (d Database) TunedDSN() string {
	if d.Kind != SQLite {
		return d.DSN()
	}
	return "file:" + d.Path() + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_txlock=immediate&_time_format=sqlite&_timezone=UTC"
}

// mysql returns the driver's configuration. DATETIME columns are read as
// times, which is off by default and on in every tutorial.
func (d Database) mysql() *mysql.Config {
	u, err := url.Parse(d.URL)
	if err != nil {
		panic("data: a URL of this package's caller: " + err.Error())
	}
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName = "tcp", net.JoinHostPort(u.Hostname(), u.Port()), strings.TrimPrefix(u.Path, "/")
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.ParseTime = true
	return cfg
}

// Open opens the database with a data source name.
func (d Database) Open(dsn string) (*sql.DB, error) {
	db, err := sql.Open(d.Driver(), dsn)
	if err != nil {
		return nil, err
	}
	Limit(db)
	return db, nil
}

// Limit gives a pool the size that all have.
func Limit(db *sql.DB) {
	db.SetMaxOpenConns(PoolSize)
	db.SetMaxIdleConns(PoolSize)
}

// A Set is the databases of an application: the one of the default bind, with
// the users; that of the bind "blog", with posts and comments; and that of the
// bind "log", with events and visits.
type Set struct {
	Name string
	Main Database
	Blog Database
	Log  Database
}

// All returns the databases of the set.
func (s Set) All() []Database { return []Database{s.Main, s.Blog, s.Log} }

// Mixed reports whether the databases differ in kind.
func (s Set) Mixed() bool { return s.Main.Kind != s.Blog.Kind || s.Main.Kind != s.Log.Kind }

// Copy returns a set whose SQLite files are copies, in a folder of that name
// beside them: what a peer sets for a file stays in the file, its journal mode
// say. Databases on servers stay the same.
func (s Set) Copy(name string) (Set, error) {
	for _, d := range []*Database{&s.Main, &s.Blog, &s.Log} {
		if d.Kind != SQLite {
			continue
		}
		from := d.Path()
		dir := filepath.Join(filepath.Dir(from), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return Set{}, err
		}
		content, err := os.ReadFile(from)
		if err != nil {
			return Set{}, err
		}
		*d = File(filepath.Join(dir, filepath.Base(from)))
		if err := os.WriteFile(d.Path(), content, 0o600); err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

// Version returns what the server says of its version.
func (d Database) Version(ctx context.Context) (string, error) {
	db, err := d.Open(d.DSN())
	if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // What counts is the answer.
	query := "SELECT version()"
	if d.Kind == SQLite {
		query = "SELECT sqlite_version()"
	}
	var version string
	if err := db.QueryRowContext(ctx, query).Scan(&version); err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", d.Kind, err)
	}
	version = strings.TrimPrefix(version, "PostgreSQL ")
	version, _, _ = strings.Cut(version, " ")
	return string(d.Kind) + " " + version, nil
}
