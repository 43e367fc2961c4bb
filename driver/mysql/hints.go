package mysql

import "github.com/echobun/echobun/internal/urlhints"

// Hints that several parameters share.
const (
	hintTLS      = "use tls=true, tls=skip-verify or tls=preferred"
	hintOwnTLS   = "use EngineOptions.TLS for certificates of your own, or tls=true for those that the system trusts"
	hintVerified = "use tls=true, which checks the certificate and its name"
	hintCharset  = "leave it out: strings are utf8mb4"
	hintPackets  = "use maxAllowedPacket"
	hintTimes    = "use loc for the time zone of values, and time_zone for the session's"
	hintOptions  = "option files are not read"
)

// refused are parameters that would do nothing or harm, by what to do instead.
// Those of other drivers' URLs are among them: the server would take them for
// system variables, and nobody would know before the first connection.
var refused = urlhints.With(hintTLS, hintOwnTLS, map[string]string{
	"user":     urlhints.BeforeAt,
	"password": urlhints.BeforeAt,
	"passwd":   urlhints.BeforeAt,
	"host":     "it belongs after the @ of the URL; for a socket use unix_socket",
	"hostname": "it belongs after the @ of the URL; for a socket use unix_socket",
	"port":     "it belongs behind the host in the URL",
	"database": urlhints.BehindPath,
	"db":       urlhints.BehindPath,
	"dbname":   urlhints.BehindPath,
	"schema":   urlhints.BehindPath,

	"init_command":       "list the statement in EngineOptions.OnConnect",
	"sessionVariables":   "write each variable as a parameter of its own",
	"local_infile":       "use allowAllFiles",
	"read_default_file":  hintOptions,
	"read_default_group": hintOptions,
	"default_file":       hintOptions,
	"option_files":       hintOptions,
	"client_flag":        "use the parameter for what it switches, such as multiStatements",
	"auth_plugin":        "the server chooses it",

	"character_set_client":     hintCharset,
	"character_set_connection": hintCharset,
	"character_set_results":    hintCharset,
	"characterEncoding":        hintCharset,
	"encoding":                 hintCharset,
	"useUnicode":               hintCharset,
	"client_encoding":          hintCharset,
	"collation_connection":     "use collation",
	"connectionCollation":      "use collation",

	// TLS, in the words of Python's drivers, MySQL's clients, JDBC, Prisma,
	// Rails and PostgreSQL.
	"ssl":                     hintOwnTLS,
	"ssl_capath":              hintOwnTLS,
	"ssl_cipher":              hintOwnTLS,
	"ssl-capath":              hintOwnTLS,
	"ssl-cipher":              hintOwnTLS,
	"sslcapath":               hintOwnTLS,
	"sslcert":                 hintOwnTLS,
	"sslkey":                  hintOwnTLS,
	"sslcipher":               hintOwnTLS,
	"sslrootcert":             hintOwnTLS,
	"sslpassword":             hintOwnTLS,
	"tls_versions":            hintOwnTLS,
	"tls_ciphersuites":        hintOwnTLS,
	"sslmode":                 hintTLS,
	"ssl_disabled":            "use tls=false",
	"ssl_verify_cert":         hintVerified,
	"ssl_verify_identity":     hintVerified,
	"ssl_check_hostname":      hintVerified,
	"sslverify":               hintVerified,
	"verifyServerCertificate": hintVerified,

	// Of Prisma, Doctrine, Rails, Node and JDBC.
	"connectionLimit":              urlhints.Pool,
	"pool_name":                    urlhints.Pool,
	"max_idle_connection_lifetime": urlhints.Pool,
	"max_connection_lifetime":      urlhints.Pool,
	"socket_timeout":               "use readTimeout and writeTimeout",
	"socketTimeout":                "use readTimeout and writeTimeout",
	"connectTimeout":               "use timeout, with a unit, or EngineOptions.ConnectTimeout",
	"socket":                       "use unix_socket",
	"unixSocket":                   "use unix_socket",
	"pgbouncer":                    urlhints.Nothing,
	"statement_cache_size":         urlhints.Nothing,
	"serverTimezone":               hintTimes,
	"connectionTimeZone":           hintTimes,
	"timezone":                     hintTimes,
	"max_allowed_packet":           hintPackets,
	"multipleStatements":           "use multiStatements",
	"allowMultiQueries":            "use multiStatements",
	"allowPublicKeyRetrieval":      "use serverPubKey, or tls=true",
	"useCompression":               "use compress",
	"dateStrings":                  "use parseTime=false",
	"zeroDateTimeBehavior":         urlhints.Nothing,
	"autoReconnect":                "leave it out: the pool replaces a connection that is lost",
	"reconnect":                    "leave it out: the pool replaces a connection that is lost",
	"prepared_statements":          urlhints.Nothing,
	"application_name":             "use connectionAttributes=program_name:NAME",
	"search_path":                  urlhints.BehindPath,
	"options":                      "write each variable as a parameter of its own",
})
