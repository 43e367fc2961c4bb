// Package echobuntest helps to test applications that use echobun.
//
// [New] makes an extension on SQLite in memory, for tests that need no server.
// [Isolate] puts an extension's databases, of whatever kind, into transactions
// that are rolled back when the test ends, so that tests on real servers find
// and leave them as they were.
package echobuntest
