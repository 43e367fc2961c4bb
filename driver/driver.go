// Package driver is what a kind of database has to provide to echobun: the
// [Driver] interface, the registry that maps URL schemes to drivers, and the
// grammar of database URLs.
//
// Applications only import the packages below this one, each for its side
// effect, as with database/sql:
//
//	import _ "github.com/echobun/echobun/driver/sqlite"
//
// Package drivertest holds the conformance suite that a new driver has to pass.
package driver

import (
	"context"
	"crypto/tls"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// A Driver opens databases of one kind and explains their errors.
//
// It grows by optional interfaces only: see [DDL], [TwoPhase], [Explainer], [TypeNamer], [Defaulter]
// and, on its dialects, [TableObserver].
// Implementations must be safe for concurrent use.
type Driver interface {
	// Dialect returns a fresh Bun dialect. A dialect holds the tables of one
	// engine, so two calls must never return the same value.
	Dialect() schema.Dialect

	// Connector returns the connector of one pool. It should check everything
	// that can be checked without a server, and must open no connection and
	// start no goroutine. Its errors must not contain the password. If the
	// connector is an io.Closer, closing the pool closes it.
	Connector(u *URL, o Options) (sqldriver.Connector, error)

	// Classify says what kind of failure err is: a set of flags, zero for nil
	// and for errors that it does not know. It should look for its driver's
	// own error types with errors.As, so that wrapped errors are understood.
	Classify(err error) Class
}

// Options is what a [Driver] gets to know beside the URL.
type Options struct {
	// Bind is the bind key of the pool, for log records and errors.
	Bind string

	// ConnectTimeout bounds the opening of one connection: dialling, TLS and
	// authentication. Zero means no limit.
	ConnectTimeout time.Duration

	// TLS replaces what the URL says about TLS. Nil leaves it to the URL.
	TLS *tls.Config

	// Credentials, unless it is nil, is asked for the user and the password of
	// each new connection, which replace the URL's, and once more if the
	// server refuses them. A driver that has no such thing should refuse it in Connector with [ErrNoCredentials].
	Credentials func(ctx context.Context) (user, password string, err error)

	// InstancePath is the folder that relative file names in the URL live
	// under, made if it is missing. Empty means the working directory.
	InstancePath string

	// Logger takes the driver's warnings. Nil means [slog.Default].
	Logger *slog.Logger
}

// ErrNoCredentials is returned by Connector if Credentials is set and the kind
// of database has none.
var ErrNoCredentials = errors.New("there are no credentials in this kind of database: leave Credentials out")

// Class is a set of flags that say what kind of failure an error is.
type Class uint16

// The classes of failure. One error may be of several.
const (
	// Unique is a violated unique or primary-key constraint.
	Unique Class = 1 << iota
	// ForeignKey is a violated foreign-key constraint.
	ForeignKey
	// NotNull is a null in a column that refuses it.
	NotNull
	// Check is a violated check constraint.
	Check
	// Serialization is a serialization failure, a deadlock or a lock that was
	// not granted in time: the same unit of work may succeed when it is tried again.
	Serialization
	// OutcomeUnknown is a lost reply: the statement may or may not have run.
	OutcomeUnknown
	// DoomsTx is a failure that ended the transaction on the server, though
	// the connection would take more statements.
	DoomsTx
	// Unavailable is a server that cannot be reached or is not ready.
	Unavailable
	// ReadOnly is a write to a server, a transaction or a file that only reads.
	ReadOnly
	// InvalidValue is a value that the database cannot store as it is: out of
	// range, too long, or with a character that it does not know. Nothing was
	// stored. What a dialect refuses by writing it as Bun's dialect.AppendError
	// does, echobun finds before the statement is sent, and calls by this class.
	InvalidValue
)

// An Explainer is a [Driver] that can say what an error of its server means
// without the values that the server quotes. Logs, records, the debug page and
// traces show that. Without it they leave out what stands in quotation marks,
// which may be too little: servers speak many languages, and what a function or
// a trigger raises is in words of its own.
type Explainer interface {
	// Explain returns what err itself says, not what it wraps, and whether it
	// is an error of the driver's server. The text may have the server's code,
	// words of the driver, words that are known to be the server's own, and
	// names of constraints, tables and columns from fields that have only them.
	Explain(err error) (text string, ok bool)
}

// A TypeNamer is a [Driver] that names some portable column types in its own way.
type TypeNamer interface {
	// TypeName returns the SQL type for one of the portable kinds "text",
	// "largebinary", "datetime", "json" and "uuid". It is asked for "time" too:
	// empty means that this is the database's own name.
	TypeName(kind string) string
}

// A Defaulter is a [Driver] whose database wants some defaults in other words.
type Defaulter interface {
	// DefaultExpr returns the default expression expr of a column of a
	// portable kind as the database wants it.
	DefaultExpr(kind, expr string) string
}

// A TableObserver is a dialect of a [Driver] that lets echobun see each table
// that Bun describes before a query can. Without it, relations to models of
// another bind are taken out only of models that a session's builders or
// Register have met.
type TableObserver interface {
	// ObserveTables makes observe be called with each table, as the last step
	// of the dialect's OnTable. It is called once, before the first table.
	ObserveTables(observe func(*schema.Table))
}

// DDL is an optional interface of a [Driver]: how tables are made and dropped
// safely on its database. Without it, each statement is sent on its own and
// existing tables are left to IF NOT EXISTS.
type DDL interface {
	// BeginDDL makes conn ready for changes of the schema. It locks out other
	// processes that do the same, waiting for any lock until ctx ends, and no
	// longer than wait; and it starts a transaction where DDL is transactional.
	// Statements go through db. Finish must be called once: with nil it
	// commits, else it rolls back what can be rolled back; either way it
	// releases the lock and leaves conn as it was.
	BeginDDL(ctx context.Context, conn bun.Conn, wait time.Duration) (db bun.IDB, finish func(error) error, err error)

	// ExistingTables returns which of tables exist.
	ExistingTables(ctx context.Context, db bun.IDB, tables []TableName) ([]TableName, error)

	// ExistingIndexes returns the names of the indexes of one table.
	ExistingIndexes(ctx context.Context, db bun.IDB, table TableName) ([]string, error)

	// LateForeignKeys reports whether a foreign key to a table that does not
	// exist yet has to be added with ALTER TABLE once it does. If not, it is
	// declared with its table, and the other table may come later.
	LateForeignKeys() bool

	// DropTables drops tables that exist. They come children first; where they
	// refer to each other in a cycle, they come in any order. A table outside
	// the list that refers to one inside is an error, and nothing is dropped
	// that the list does not name.
	DropTables(ctx context.Context, db bun.IDB, tables []TableName) error
}

// TableName is the name of a table as the database knows it.
type TableName struct {
	Schema string // Empty means the connection's default schema.
	Name   string
}
