// Package pgx is echobun's driver for PostgreSQL, over jackc/pgx and Bun's
// pgdialect. Import it for its side effect:
//
//	import _ "github.com/echobun/echobun/driver/pgx"
//
// It serves URLs of the schemes postgresql and postgres, alone or with "+pgx".
//
// # URLs
//
//	postgresql://user:password@host:5432/database?sslmode=verify-full&application_name=shop
//	postgresql://user@/database?host=/var/run/postgresql
//	postgresql://user@/database?host=db1,db2&port=5432,5433&target_session_attrs=read-write
//	postgresql://user@/database?host=db1:5432&host=db2:5433
//
// Parameters are libpq's, as pgx understands them, and pgx's own; each goes
// over the default of this package. The parameters host, port, user, dbname and password
// go over what stands before the question mark. Any other name is sent to the
// server as a run-time parameter, as with pgx: a name that the server does
// not know fails the connection.
//
// The PG* variables, the service file, the password file and the files
// under ~/.postgresql fill in what the URL leaves out, and nothing else. With all of them silent,
// user and database are the name of the operating system's user, and the host
// is the folder of the local Unix sockets.
//
// The defaults of this package that differ from pgx's:
//
//   - default_query_exec_mode is exec, not cache_statement: Bun writes
//     arguments into the statement, so that a cache of statements is never hit
//     and only costs. It also works behind PgBouncer in transaction mode, for
//     which this driver keeps no session state and sends no run-time parameters
//     but the URL's.
//   - connect_timeout is that of the options, and counts for each host.
//   - standard_conforming_strings=off is refused, in the URL, on a server or
//     role that has it as its default, and in a session that switches it off:
//     Bun's quoting would be injectable there.
//
// Options.TLS replaces all that the URL and the environment say about TLS.
//
// # Failures
//
// A statement that commits by itself and whose reply is lost has an unknown outcome: it
// is never sent a second time, whether it reads or writes. Inside a transaction
// a lost connection is only that, as the server rolls back. A connection that is
// found closed before a statement is sent is replaced without a word.
//
// A COMMIT whose reply is lost is not sent again either. The server is asked what
// became of the transaction, on another connection and within the time limit of
// the COMMIT, or 150 ms more if that is used up. So Commit returns nil if it was
// committed, and an error that says so if it was rolled back. Its outcome is
// unknown if the server does not answer in time, has been restarted, or is
// another one by now, and if the transaction has written no row: that has no id
// to ask for. The id is learned before each COMMIT, which costs a round trip;
// read-only transactions do without.
//
// When the context of a statement ends, the statement is cancelled on the
// server and the connection is kept. If the server does not answer to that
// within 200 ms the connection is given up. COMMIT and ROLLBACK do not obey
// the context that began the transaction, only a time limit.
//
// A connection that takes longer than the caller can wait is finished in the
// background, and serves the next caller.
//
// # What a session remembers
//
// A connection that comes back with a transaction open, after a raw BEGIN say,
// is closed rather than reused. So is one on which a statement has left
// something: SET and set_config, a temporary table, a session-level advisory
// lock, PREPARE, LISTEN, DO, CALL, and settings that the server reports by
// itself, as it does of search_path from PostgreSQL 18 on. SET LOCAL and
// pg_advisory_xact_lock leave nothing. Otherwise it goes by the text of the
// statement, at no round trip: what a function sets inside stays.
//
// # Two-phase commit
//
// Transactions are prepared with PREPARE TRANSACTION, if max_prepared_transactions
// of the server is not 0. A PREPARE TRANSACTION, COMMIT PREPARED or ROLLBACK PREPARED
// whose reply is lost has an unknown outcome: the server's list of what is
// prepared tells.
//
// # Beneath
//
// The connection that [database/sql.Conn.Raw] hands out for an engine of
// echobun's has a method Unwrap. That returns this package's connection, whose
// method Conn returns jackc's *pgx.Conn, for CopyFrom and the like:
//
//	err := conn.Raw(func(dc any) error {
//		inner := dc.(interface{ Unwrap() driver.Conn }).Unwrap() // Of database/sql/driver.
//		pgxConn := inner.(interface{ Conn() *pgx.Conn }).Conn()
//		// ...
//	})
//
// What is done there is neither watched nor refused, and its errors are pgx's
// own.
//
// Changes of the schema take the transaction-level advisory lock with
// the key 28538272844248430, which is "echobun" in ASCII.
package pgx
