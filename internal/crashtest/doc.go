// Package crashtest kills processes and servers in the middle of two-phase
// transactions, and checks what recovery makes of it. It has tests only, and
// those only with the build tag "failpoint": see make crash-test.
//
// A child process, which is the test binary itself, commits transactions over
// PostgreSQL, MariaDB and SQLite and tells of each that has succeeded. It is
// killed at every step of the protocol, and at any instant under load; or the
// servers are. Then the parent recovers as a restarted application would, and
// looks into the databases.
package crashtest
