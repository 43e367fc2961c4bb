// Package mysql brings MySQL and MariaDB to echobun, over
// github.com/go-sql-driver/mysql. It is imported for its side effect:
//
//	import _ "github.com/echobun/echobun/driver/mysql"
//
// It serves URLs of the schemes mysql and mariadb:
//
//	mysql://user:password@host:3306/database?parameter=value
//	mysql://user:password@/database?unix_socket=/run/mysqld/mysqld.sock
//
// # Parameters
//
// The parameters of go-sql-driver's DSN mean what they mean there: tls,
// timeout, readTimeout, writeTimeout, loc, parseTime, charset, collation,
// maxAllowedPacket, interpolateParams, clientFoundRows, multiStatements,
// allowAllFiles, serverPubKey, compress and so on. Any other is a system
// variable that is set on each connection, as in
// ?transaction_isolation=READ-COMMITTED. A value that cannot be right is an
// error of New. Option files such as my.cnf are not read.
//
// The defaults differ from go-sql-driver's: parseTime=true, charset=utf8mb4
// with the server's collation, a strict sql_mode, autocommit on, clientFoundRows=true, so that an
// UPDATE counts the rows it found, as on other databases. Times are UTC on
// both sides: values are written in UTC, and the session's time_zone is
// '+00:00', so that CURRENT_TIMESTAMP agrees with them. With loc they are
// written and read in that location, and time_zone is left to the server
// unless it is given too; of the hour that comes twice where summer time ends
// one is refused, for it would be read as the other. timeout bounds the whole opening of a connection,
// in place of the ConnectTimeout option; there is no read time-out by default,
// so a long query is not cut.
//
// # Text
//
// What is written is what is read back, whatever the sql_mode is. A string
// with a backslash, a NUL or invalid UTF-8 in it is sent in hexadecimal, since
// the server's reading of a backslash between quotes depends on the sql_mode.
// A few statements take no such literal, CREATE USER for one: they fail.
//
// The character set of a connection is utf8mb4. The parameter charset=utf8, as
// Python's drivers want it, means that too: what the server calls utf8 has no
// letters beyond U+FFFF, so that an emoji would be read as "?" and written back
// so. Of a list, as in go-sql-driver, the first set that exists counts. Any
// other set than UTF-8 is an error of New.
//
// Tables may have whatever set they have: the server converts, and a letter that
// a column cannot hold is refused. A table that CreateAll or a builder makes in
// a database of another set than utf8mb4 gets DEFAULT CHARSET=utf8mb4, with the
// collation of the URL if it has one; else the database's own collation counts.
// The server takes no foreign key on text to a table of another set: convert
// that with ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4.
//
// # Strict mode
//
// TRADITIONAL is added to the server's sql_mode on each connection, and
// STRICT_ALL_TABLES to that of a parameter sql_mode without a strict one: a
// text that is too long, a number out of range or a date that does not exist is
// an error, and never cut, changed or made zero in silence. ?strict=false
// leaves the sql_mode as it is.
//
// # Times and numbers
//
// The column of a time in a struct is datetime(6), where Bun says DATETIME,
// which rounds to the second. So is a type datetime or timestamp without digits
// in a field's tag; write datetime(0) for whole seconds. A default of the
// current time gets as many digits as its column has. A type time without
// digits is time(6), and a type float is double, as on other databases: the
// server answers six digits of a FLOAT.
//
// A number with more digits than a DECIMAL has is sent with an exponent, for
// Bun writes floats without one, 1e100 and 1e-70 too. NaN and infinite numbers
// in a struct are refused before they are sent; -0 is stored as 0. The bytes of
// a BIT are read as what they stand for into a bool, and into an integer whose
// tag says bit(n).
//
// The server compares a text with a number as numbers: name = 0 finds every name
// that does not begin with a digit, so let an argument that comes from outside
// be a string. It takes 'NaN' in a comparison for 0, and reads the date
// 0000-00-00, which strict mode lets nobody write, as the zero time. Any other
// day that is on no calendar, 2024-02-00 for one, is an error that names the
// column: go-sql-driver would read another day.
//
// # When a connection breaks
//
// A statement is sent once. If its reply is lost outside a transaction, its
// outcome is unknown and the error says so, for a SELECT too, which may call a
// function that writes. Inside a transaction the server rolls back, so there
// the error is that of an unreachable server, but for COMMIT and for
// statements that commit by themselves.
//
// COMMIT and ROLLBACK end within their time limit. No answer to a COMMIT is an
// unknown outcome.
//
// When the context of a running statement ends, the statement is stopped with
// KILL QUERY from another connection, and the error matches that of the
// context: the statement did nothing. If the server does not confirm it within
// 500 ms, the connection is closed, and outside a transaction the outcome is
// unknown. An INSERT, UPDATE or DELETE that had ended by then succeeds.
//
// # What a session remembers
//
// A connection that comes back with a transaction open, after a raw BEGIN say,
// is closed rather than reused. So is one on which a statement has left
// something: SET, USE, CREATE TEMPORARY TABLE, GET_LOCK, LOCK TABLES, FLUSH,
// PREPARE, HANDLER, CALL, also in a comment that the server executes. SET
// STATEMENT leaves nothing by itself. It goes by the text of the statement, at
// no round trip: what a function sets inside stays, and so does a user variable
// that a SELECT assigns with := or INTO.
package mysql
