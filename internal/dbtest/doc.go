// Package dbtest gives tests real database servers.
//
// [Postgres] and [MariaDB] share one server of each kind among the tests of a
// process; every call gets a fresh database there, dropped when its test
// ends. [StartPostgres] and [StartMariaDB] start servers that a test may stop,
// kill and start again, and PostgreSQL's may have a standby: [Server.Standby].
// [PgBouncer] puts a connection pooler in front of a server.
//
// Servers are started from the installed binaries on free loopback ports, with
// their files in temporary folders, and as an unprivileged user where the
// tests run as root. They end with the test process, also when it is killed.
// The environment variables ECHOBUN_TEST_POSTGRES and ECHOBUN_TEST_MYSQL, each
// a URL of a user who may create databases, use given servers in their place.
//
// A test that needs a server is skipped where none is to be had, and with
// -short; with CI=true in the environment the first of the two is a failure.
package dbtest
