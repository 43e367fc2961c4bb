package echobun

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
)

// DefaultBind is the bind key of the default bind, which models without a
// bind key live on.
const DefaultBind = ""

// A Config says which databases there are and how to reach them. Only
// DatabaseURI or an entry of Binds is required.
//
// It reads from JSON and YAML, with the snake_case of its fields as keys or in
// Flask-SQLAlchemy's words (of a whole app.config, the keys of Flask and of its
// usual extensions are left alone), and from the environment with [ConfigFromEnv].
// Logger, and the fields TLS, Credentials, Hooks and DB of [EngineOptions], can only be set
// in Go. However it is printed, logged or marshalled, the passwords in its URLs
// show as ***. There are two exceptions, since a URL here is plain text and fmt
// asks no method then: a Config in an unexported field of a struct that is
// printed, and the mistakes that go vet finds, %p and a %w out of place. A
// password from [EngineOptions.Credentials] is out of fmt's reach in any case.
//
// [New] does not modify it, and later changes to it have no effect.
type Config struct { //nolint:recvcheck // Printing needs values, reading a pointer.
	// DatabaseURI is the URL of the default bind, in the grammar of
	// [github.com/echobun/echobun/driver.ParseURL]. Empty means that
	// EngineOptions or Binds has it, or that there is no default bind.
	// Flask's word: SQLALCHEMY_DATABASE_URI.
	DatabaseURI string

	// EngineOptions are the options of the default bind alone. They win over
	// Binds[DefaultBind]; its URL gives way to DatabaseURI. They are unused
	// when nothing gives the default bind a URL or a DB.
	// Flask's word: SQLALCHEMY_ENGINE_OPTIONS.
	EngineOptions EngineOptions

	// Binds are the further databases by bind key: any text of up to 63
	// bytes without control characters or spaces around it.
	// Flask's word: SQLALCHEMY_BINDS.
	Binds Binds

	// Defaults are options for every bind that does not set them itself. URL
	// and DB must be left out. A bind with a DB of its own only takes
	// LogStatements, Hooks and Unmanaged from here.
	Defaults EngineOptions

	// InstancePath is the folder that relative SQLite files live under, made
	// if it is missing. Empty means the working directory.
	InstancePath string

	// AppName names the application in the IDs of its prepared transactions,
	// so that [Extension.RecoverPrepared] leaves those of others on the same
	// servers alone. Give each application its own, the same one in all its
	// processes, and keep it. Default: "app".
	AppName string

	// LogStatements logs every statement, once it is done, with its bind,
	// template, duration, rows and error. In text its key is also "echo";
	// Flask's word: SQLALCHEMY_ECHO. Default: false.
	LogStatements bool

	// SlowQuery logs statements that take at least as long, as warnings,
	// whether or not LogStatements is set. Default: none.
	SlowQuery time.Duration

	// LogArgs shows the arguments of statements in the log, in
	// [Session.Queries] and on the debug page: personal data, passwords,
	// whatever they are. Default: templates, with placeholders in their place.
	LogArgs bool

	// RecordQueries keeps the statements of each app context for
	// [Session.Queries] and for the debug page, the first 1,000 of each. It
	// costs time and memory: it is for development. Flask's word:
	// SQLALCHEMY_RECORD_QUERIES.
	RecordQueries bool

	// LeakThreshold logs a warning, once, for each transaction and each result
	// set that stays open longer, with the line that has opened it. Default: none.
	LeakThreshold time.Duration

	// ForeignKeys makes CreateAll add a foreign key for each belongs-to
	// relation inside a bind, but for two kinds by columns of the primary key:
	// to columns that are no key of the other table, and to a table that leads
	// back by the same columns. The References of a [Table] are foreign keys in
	// any case.
	ForeignKeys bool

	// Logger takes log records. Nil means [slog.Default].
	Logger *slog.Logger
}

// Binds are the options of engines by bind key. In JSON and YAML an entry may
// be a bare URL, and in YAML the key null is [DefaultBind].
type Binds map[string]EngineOptions //nolint:recvcheck // As Config.

// EngineOptions are the options of one engine. Either URL or DB is required.
// The zero value of each other field stands for what Config.Defaults says, or
// else for the default given here.
//
// It reads from JSON and YAML, with the snake_case of its fields as keys, and
// from a bare URL, also as an [encoding.TextUnmarshaler]. Durations are Go's,
// as "90s", or numbers of seconds, all negative ones meaning no limit.
// SQLAlchemy's words are understood:
//
//   - pool_size: connections kept, with max_overflow 10 if that is not given;
//     0 means no limit.
//   - max_overflow: connections beyond pool_size, which is 5 if it is not
//     given; -1 means no limit.
//   - pool_recycle: ConnMaxLifetime; -1 means for ever, 0 a new connection for
//     each use.
//   - pool_timeout: PoolTimeout; -1 means for ever, 0 not to wait at all.
//   - pool_pre_ping: accepted and without effect. The drivers here find dead
//     connections by themselves, as if it were true.
//   - echo: LogStatements.
//
// Unknown keys, values of the wrong type, and two words for one option are
// errors, each a [*ConfigError].
type EngineOptions struct { //nolint:recvcheck // As Config.
	// URL is the database's, in the grammar of
	// [github.com/echobun/echobun/driver.ParseURL]:
	// "postgresql://user:password@host:5432/name", "sqlite:///file.db". What
	// [Config] says of passwords that are printed holds for it.
	URL string

	// MaxOpenConns is the largest number of connections at a time.
	// Default: 15, for SQLite 100. Negative means no limit.
	MaxOpenConns int

	// MaxIdleConns is how many connections are kept when nobody uses them; it
	// must not be more than MaxOpenConns, and from Config.Defaults it is as many
	// as the bind's own MaxOpenConns allows. Default: MaxOpenConns. Negative
	// means no limit.
	MaxIdleConns int

	// ConnMaxLifetime is the age at which a connection is replaced.
	// Default: 30 minutes, for MySQL 5 minutes, for SQLite no limit. Negative
	// means no limit.
	ConnMaxLifetime time.Duration

	// ConnMaxIdleTime is how long a connection may be unused before it is
	// closed. Default: 5 minutes, for SQLite no limit. Negative means no limit.
	ConnMaxIdleTime time.Duration

	// PoolTimeout is the longest wait for a free connection, after which
	// statements fail with [ErrPoolTimeout]. Default: 30 seconds. Negative
	// means no limit. It is kept for sessions and for the builders of Engine;
	// one of several that ask at the same moment may wait longer for connections
	// that a transaction of Engine or a sql.Conn holds.
	PoolTimeout time.Duration

	// ConnectTimeout is how long it may take to open a connection: dialling,
	// TLS and authentication. Default: 10 seconds. Negative means no limit.
	ConnectTimeout time.Duration

	// TLS replaces what the URL says about TLS. Nil leaves it to the URL.
	TLS *tls.Config

	// OnConnect is SQL that is run on each new connection, one statement
	// each. Nil means none, or those of Config.Defaults; an empty slice means
	// none.
	OnConnect []string

	// LogStatements, unless it is nil, wins over Config.LogStatements.
	LogStatements *bool

	// Credentials, unless it is nil, is asked for the user and the password of
	// each new connection, in place of those in the URL: for tokens that
	// expire, and for passwords that rotate. If the server refuses them it is
	// asked once more, since they may have changed meanwhile. It is called from
	// several goroutines at once; its context ends with ConnectTimeout. An error
	// of it is the connection's. SQLite has no such thing, and refuses it. Connections
	// that are open keep what they were opened with, for ConnMaxLifetime.
	Credentials func(ctx context.Context) (user, password string, err error)

	// Optional makes an outage of this bind degrade [Health], and not fail it.
	// True in Config.Defaults is true for all.
	Optional bool

	// Unmanaged makes CreateAll and DropAll leave this bind alone, and refuse
	// it when they are told its key. True in Config.Defaults is true for all.
	Unmanaged bool

	// Hooks are added to the engine. Nil means none, or those of
	// Config.Defaults; an empty slice means none.
	Hooks []bun.QueryHook

	// DB is an engine of your own in place of a URL. It is used as it is and
	// never closed here. The fields above, apart from LogStatements, Optional,
	// Unmanaged and Hooks, must be zero beside it.
	//
	// There is no PoolTimeout on it, a ConnResolver of its own is not asked,
	// and errors are classified where the session sees them: not those of
	// rows and of statements in a bun.Tx before RunInTx returns.
	DB *bun.DB
}
