package pgx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/echobun/echobun/internal/urlhints"
)

// Hints that several parameters share.
const (
	hintTLS       = "use sslmode, such as sslmode=verify-full"
	hintOwnTLS    = "use sslrootcert, sslcert and sslkey, or EngineOptions.TLS"
	hintSchema    = "use search_path"
	hintEncoding  = "leave it out: strings are UTF-8"
	hintBouncer   = "leave it out: it works behind pgbouncer as it is"
	hintPrepared  = "leave it out: statements are not prepared; default_query_exec_mode decides"
	hintRuntime   = "write each of them as a parameter of its own"
	hintAppName   = "use application_name"
	hintConnect   = "use connect_timeout, in seconds, or EngineOptions.ConnectTimeout"
	hintStatement = "use statement_timeout, in milliseconds, or a context"
)

// foreign are parameters of other drivers' URLs, by what to write instead.
// Pgx would send them to the server as settings of the session, and nobody
// would know before the first connection.
var foreign = urlhints.With(hintTLS, hintOwnTLS, map[string]string{
	// Prisma.
	"pgbouncer":            hintBouncer,
	"schema":               hintSchema,
	"socket_timeout":       hintStatement,
	"statement_cache_size": hintPrepared,

	// Doctrine.
	"charset":        hintEncoding,
	"default_dbname": urlhints.BehindPath,
	"encoding":       hintEncoding,

	// SQLAlchemy, asyncpg and psycopg.
	"prepared_statement_cache_size": hintPrepared,
	"prepared_statement_name_func":  hintPrepared,
	"prepare_threshold":             hintPrepared,
	"async_fallback":                urlhints.Nothing,
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
	"stringtype":                    urlhints.Nothing,
	"reWriteBatchedInserts":         urlhints.Nothing,
	"targetServerType":              "use target_session_attrs",
	"sslfactory":                    hintOwnTLS,
	"readOnly":                      "use default_transaction_read_only=on",

	// Rails, Node and Django.
	"pool_max_conns":           urlhints.Pool,
	"pool_min_conns":           urlhints.Pool,
	"pool_max_conn_lifetime":   urlhints.Pool,
	"pool_max_conn_idle_time":  urlhints.Pool,
	"pool_health_check_period": urlhints.Pool,
	"max":                      urlhints.Pool,
	"schema_search_path":       hintSchema,
	"variables":                hintRuntime,
	"prepared_statements":      hintPrepared,
	"reconnect":                urlhints.Nothing,
	"uselibpqcompat":           urlhints.Nothing,
	"conn_max_age":             urlhints.Pool,

	// MySQL.
	"requiressl":        hintTLS,
	"tls":               hintTLS,
	"unix_socket":       "use host=/directory",
	"socket":            "use host=/directory",
	"parseTime":         urlhints.Nothing,
	"loc":               "use timezone",
	"time_zone":         "use timezone",
	"collation":         urlhints.Nothing,
	"sql_mode":          urlhints.Nothing,
	"multiStatements":   urlhints.Nothing,
	"characterEncoding": hintEncoding,
})

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
