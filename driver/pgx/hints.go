package pgx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Hints that several parameters share.
const (
	hintTLS       = "use sslmode, such as sslmode=verify-full"
	hintOwnTLS    = "use sslrootcert, sslcert and sslkey, or EngineOptions.TLS"
	hintSchema    = "use search_path"
	hintPool      = "use EngineOptions: MaxOpenConns, MaxIdleConns, ConnMaxLifetime and PoolTimeout"
	hintEncoding  = "leave it out: strings are UTF-8"
	hintBouncer   = "leave it out: it works behind pgbouncer as it is"
	hintVersion   = "leave it out: the server says which version it is"
	hintPrepared  = "leave it out: statements are not prepared; default_query_exec_mode decides"
	hintRuntime   = "write each of them as a parameter of its own"
	hintNothing   = "leave it out: it has no meaning here"
	hintAppName   = "use application_name"
	hintConnect   = "use connect_timeout, in seconds, or EngineOptions.ConnectTimeout"
	hintStatement = "use statement_timeout, in milliseconds, or a context"
)

// foreign are parameters of other drivers' URLs, by what to write instead.
// Pgx would send them to the server as settings of the session, and nobody
// would know before the first connection.
var foreign = map[string]string{
	// Prisma.
	"pgbouncer":            hintBouncer,
	"schema":               hintSchema,
	"connection_limit":     hintPool,
	"pool_timeout":         hintPool,
	"sslaccept":            hintTLS,
	"sslidentity":          hintOwnTLS,
	"socket_timeout":       hintStatement,
	"statement_cache_size": hintPrepared,

	// Doctrine.
	"serverVersion":  hintVersion,
	"server_version": hintVersion,
	"charset":        hintEncoding,
	"default_dbname": "it belongs behind the / of the URL",
	"encoding":       hintEncoding,

	// SQLAlchemy, asyncpg and psycopg.
	"prepared_statement_cache_size": hintPrepared,
	"prepared_statement_name_func":  hintPrepared,
	"prepare_threshold":             hintPrepared,
	"async_fallback":                hintNothing,
	"use_native_unicode":            hintEncoding,
	"server_settings":               hintRuntime,
	"command_timeout":               hintStatement,
	"timeout":                       hintConnect,
	"ssl":                           hintTLS,
	"ssl_context":                   hintOwnTLS,

	// JDBC and Npgsql.
	"currentSchema":                 hintSchema,
	"ApplicationName":               hintAppName,
	"connectTimeout":                hintConnect,
	"loginTimeout":                  hintConnect,
	"socketTimeout":                 hintStatement,
	"prepareThreshold":              hintPrepared,
	"preparedStatementCacheQueries": hintPrepared,
	"stringtype":                    hintNothing,
	"reWriteBatchedInserts":         hintNothing,
	"targetServerType":              "use target_session_attrs",
	"sslfactory":                    hintOwnTLS,
	"readOnly":                      "use default_transaction_read_only=on",

	// Rails, Node and Django.
	"pool":                     hintPool,
	"pool_size":                hintPool,
	"pool_recycle":             hintPool,
	"pool_max_conns":           hintPool,
	"pool_min_conns":           hintPool,
	"pool_max_conn_lifetime":   hintPool,
	"pool_max_conn_idle_time":  hintPool,
	"pool_health_check_period": hintPool,
	"max":                      hintPool,
	"schema_search_path":       hintSchema,
	"variables":                hintRuntime,
	"prepared_statements":      hintPrepared,
	"reconnect":                hintNothing,
	"uselibpqcompat":           hintNothing,
	"conn_max_age":             hintPool,

	// MySQL.
	"ssl-mode":          hintTLS,
	"ssl_mode":          hintTLS,
	"sslMode":           hintTLS,
	"useSSL":            hintTLS,
	"use_ssl":           hintTLS,
	"requiressl":        hintTLS,
	"requireSSL":        hintTLS,
	"tls":               hintTLS,
	"ssl_ca":            hintOwnTLS,
	"ssl_cert":          hintOwnTLS,
	"ssl_key":           hintOwnTLS,
	"ssl-ca":            hintOwnTLS,
	"ssl-cert":          hintOwnTLS,
	"ssl-key":           hintOwnTLS,
	"sslca":             hintOwnTLS,
	"unix_socket":       "use host=/directory",
	"socket":            "use host=/directory",
	"parseTime":         hintNothing,
	"loc":               "use timezone",
	"time_zone":         "use timezone",
	"collation":         hintNothing,
	"sql_mode":          hintNothing,
	"multiStatements":   hintNothing,
	"characterEncoding": hintEncoding,
	"username":          "it belongs before the @ of the URL",
}

// isSetting reports whether name may be one of PostgreSQL's, for which case
// makes no difference. But for three of them, words that are joined without an
// underscore are another world's.
func isSetting(name string) bool {
	return strings.ToLower(name) == name || strings.ContainsAny(name, "_.") || slices.ContainsFunc(
		[]string{"DateStyle", "IntervalStyle", "TimeZone"}, func(s string) bool { return strings.EqualFold(s, name) })
}

// checkForeign refuses, all at once, what can be no setting of PostgreSQL's.
func checkForeign(names map[string][]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(names)) {
		hint, ok := foreign[name]
		switch {
		case ok:
		case isSetting(name) || !keyPattern.MatchString(name): // The latter has an error of its own.
			continue
		default:
			hint = "there is no such parameter, and no setting of PostgreSQL's is written so"
		}
		errs = append(errs, fmt.Errorf("pgx: parameter %q: %s", name, hint))
	}
	return errors.Join(errs...)
}

// encoding is the parameter for how both sides write text. Without it the
// server speaks that of the database: in one of LATIN1 it would take the two
// bytes of a letter for two letters.
const encoding = "client_encoding"

var errEncoding = errors.New(`pgx: parameter "client_encoding": ` + hintEncoding)

// setEncoding has the session speak UTF-8, and refuses a URL that asks for
// anything else.
func (s *settings) setEncoding() error {
	for _, name := range []string{encoding, "options"} {
		value := strings.NewReplacer("-", "", "_", "", "'", "", " ", "").Replace(strings.ToLower(s.values[name]))
		if name == "options" {
			var set bool
			if _, value, set = strings.Cut(value, "clientencoding="); !set {
				continue
			}
		}
		if value != "" && !strings.HasPrefix(value, "utf8") && !strings.HasPrefix(value, "unicode") {
			return errEncoding
		}
	}
	s.values[encoding] = "UTF8"
	return nil
}
