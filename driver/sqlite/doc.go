// Package sqlite makes SQLite databases available to echobun, over
// modernc.org/sqlite, which needs no cgo. It is imported for its side effect:
//
//	import _ "github.com/echobun/echobun/driver/sqlite"
//
// # URLs
//
//	sqlite://                                            a database in memory
//	sqlite:///relative/file.db                           below the instance folder
//	sqlite:////absolute/file.db
//	sqlite:///file:name.db?mode=ro&uri=true              SQLite's own form
//	sqlite:///file:name?mode=memory&cache=shared&uri=true  a named database in memory
//
// A file name is taken literally, whatever it holds. The instance folder is
// made if it is missing, other folders are not.
//
// A database in memory belongs to its engine: all its connections share it,
// another engine has another one, and it is gone when the engine is closed. A
// named one is shared by all engines of the process that use the name.
//
// # Parameters
//
//	busy_timeout   milliseconds to wait for a lock; timeout is the same in seconds (5000)
//	journal_mode   delete, truncate, persist, memory, wal or off (wal)
//	synchronous    off, normal, full or extra (normal)
//	foreign_keys   whether foreign keys are checked (on)
//	query_only     whether writes are refused (off)
//	auto_vacuum    none, full or incremental
//	transaction    how transactions begin: deferred, immediate or exclusive (immediate)
//	_pragma        any other: name(value), can be given several times
//	mode, cache, immutable, nolock, psow, vfs
//	               as in SQLite's URIs
//	_time_format, _time_integer_format, _timezone, _inttotime, _texttotime, _dqs, _defensive
//	               as in modernc.org/sqlite (_time_format=sqlite, _timezone=UTC)
//
// The first six also go by the names that modernc.org/sqlite has for them,
// such as _busy_timeout and _timeout, and transaction by that of _txlock. Python's
// isolation_level means transaction;
// its check_same_thread, cached_statements and detect_types have no meaning
// here and are ignored. Any other parameter is an error.
//
// # Writers
//
// SQLite lets one connection write at a time, and does not wait in line for
// it. Here, writing statements and transactions of one process queue for each
// file in the order of their arrival, and wait no longer than busy_timeout or
// until their context ends; other processes are waited for within the same
// limit. Readers of a file do not wait. Transactions begin IMMEDIATE, those
// with [database/sql.TxOptions].ReadOnly DEFERRED, and refuse to write.
// database/sql hands free connections to waiting callers at random, so the
// pool should be larger than the number of writers.
//
// A statement outside an open transaction waits for that transaction, also in
// the goroutine that has opened it, and then fails as "database is locked".
//
// With transaction=deferred, a transaction takes no lock until it first writes,
// and waits in the queue then. If somebody has written meanwhile, what it has read
// is not true any more, and the write fails as a serialization failure.
//
// A transaction over several files keeps what it has taken until its end. Where two
// would wait for each other, the later one fails at once, as a serialization
// failure, if both are of this process and began as parts of a session's
// transaction, or by RunInTx within each other.
//
// A database in memory has no journal mode to choose. It does one statement or
// transaction at a time, and keeps the rows of a query in memory until they
// are read. So do statements that write and return rows, on a file too.
//
// # Transactions that SQLite ends
//
// SQLite rolls the whole transaction back when a writing statement is
// interrupted by its context, when the disk is full, on an I/O error and when
// memory runs out. From then on its statements are refused, and so is COMMIT;
// only a rollback is left. A connection that comes back to the pool inside a
// BEGIN of the user's own is closed, which rolls back.
//
// # What a connection remembers
//
// A connection on which a statement has left something is closed, too, when it
// comes back: a PRAGMA with an argument, unless it only reads or is kept in the
// file as user_version is, a temporary table, ATTACH and DETACH.
package sqlite
