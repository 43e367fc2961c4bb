package mysql

// Hints that several parameters share.
const (
	hintTLS      = "use tls=true, tls=skip-verify or tls=preferred"
	hintOwnTLS   = "use EngineOptions.TLS for certificates of your own, or tls=true for those that the system trusts"
	hintVerified = "use tls=true, which checks the certificate and its name"
	hintBefore   = "it belongs before the @ of the URL"
	hintBehind   = "it belongs behind the / of the URL"
	hintCharset  = "leave it out: strings are utf8mb4"
	hintPool     = "use EngineOptions: MaxOpenConns, MaxIdleConns, ConnMaxLifetime and PoolTimeout"
	hintVersion  = "leave it out: the server says which version it is"
	hintPackets  = "use maxAllowedPacket"
	hintTimes    = "use loc for the time zone of values, and time_zone for the session's"
	hintOptions  = "option files are not read"
	hintNothing  = "leave it out: it has no meaning here"
)

// refused are parameters that would do nothing or harm, by what to do instead.
// Those of other drivers' URLs are among them: the server would take them for
// system variables, and nobody would know before the first connection.
var refused = map[string]string{
	"user":     hintBefore,
	"username": hintBefore,
	"password": hintBefore,
	"passwd":   hintBefore,
	"host":     "it belongs after the @ of the URL; for a socket use unix_socket",
	"hostname": "it belongs after the @ of the URL; for a socket use unix_socket",
	"port":     "it belongs behind the host in the URL",
	"database": hintBehind,
	"db":       hintBehind,
	"dbname":   hintBehind,
	"schema":   hintBehind,

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
	"ssl_ca":                  hintOwnTLS,
	"ssl_cert":                hintOwnTLS,
	"ssl_key":                 hintOwnTLS,
	"ssl_capath":              hintOwnTLS,
	"ssl_cipher":              hintOwnTLS,
	"ssl-ca":                  hintOwnTLS,
	"ssl-cert":                hintOwnTLS,
	"ssl-key":                 hintOwnTLS,
	"ssl-capath":              hintOwnTLS,
	"ssl-cipher":              hintOwnTLS,
	"sslca":                   hintOwnTLS,
	"sslcapath":               hintOwnTLS,
	"sslcert":                 hintOwnTLS,
	"sslkey":                  hintOwnTLS,
	"sslcipher":               hintOwnTLS,
	"sslrootcert":             hintOwnTLS,
	"sslidentity":             hintOwnTLS,
	"sslpassword":             hintOwnTLS,
	"tls_versions":            hintOwnTLS,
	"tls_ciphersuites":        hintOwnTLS,
	"ssl_mode":                hintTLS,
	"ssl-mode":                hintTLS,
	"sslmode":                 hintTLS,
	"sslMode":                 hintTLS,
	"sslaccept":               hintTLS,
	"useSSL":                  hintTLS,
	"requireSSL":              hintTLS,
	"use_ssl":                 hintTLS,
	"ssl_disabled":            "use tls=false",
	"ssl_verify_cert":         hintVerified,
	"ssl_verify_identity":     hintVerified,
	"ssl_check_hostname":      hintVerified,
	"sslverify":               hintVerified,
	"verifyServerCertificate": hintVerified,

	// Of Prisma, Doctrine, Rails, Node and JDBC.
	"connection_limit":             hintPool,
	"connectionLimit":              hintPool,
	"pool":                         hintPool,
	"pool_size":                    hintPool,
	"pool_recycle":                 hintPool,
	"pool_timeout":                 hintPool,
	"pool_name":                    hintPool,
	"max_idle_connection_lifetime": hintPool,
	"max_connection_lifetime":      hintPool,
	"socket_timeout":               "use readTimeout and writeTimeout",
	"socketTimeout":                "use readTimeout and writeTimeout",
	"connectTimeout":               "use timeout, with a unit, or EngineOptions.ConnectTimeout",
	"socket":                       "use unix_socket",
	"unixSocket":                   "use unix_socket",
	"pgbouncer":                    hintNothing,
	"statement_cache_size":         hintNothing,
	"serverVersion":                hintVersion,
	"server_version":               hintVersion,
	"serverTimezone":               hintTimes,
	"connectionTimeZone":           hintTimes,
	"timezone":                     hintTimes,
	"max_allowed_packet":           hintPackets,
	"multipleStatements":           "use multiStatements",
	"allowMultiQueries":            "use multiStatements",
	"allowPublicKeyRetrieval":      "use serverPubKey, or tls=true",
	"useCompression":               "use compress",
	"dateStrings":                  "use parseTime=false",
	"zeroDateTimeBehavior":         hintNothing,
	"autoReconnect":                "leave it out: the pool replaces a connection that is lost",
	"reconnect":                    "leave it out: the pool replaces a connection that is lost",
	"prepared_statements":          hintNothing,
	"application_name":             "use connectionAttributes=program_name:NAME",
	"search_path":                  hintBehind,
	"options":                      "write each variable as a parameter of its own",
}
