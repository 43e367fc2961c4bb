// Package drivertest is the conformance suite of echobun's drivers. A package
// that adds a kind of database passes it and is done:
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, drivertest.Config{URL: newDatabase})
//	}
//
// It runs on a real database of that kind and asks what the contract of
// [driver.Driver] and of its optional interfaces says.
package drivertest

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// Config tells the suite how to reach databases.
type Config struct {
	// URL returns the URL of a new, empty database for one test, which cleans
	// it up. Required. The driver is found by the URL's scheme.
	URL func(tb testing.TB) string

	// Network says that URL's host and port are where the database is reached
	// over TCP, without TLS so that a proxy may read along. Without it, what
	// concerns a network is left out.
	Network bool

	// Insert returns a statement that inserts into the column v of a table,
	// for the tests that lose its reply. Default: a plain INSERT.
	Insert func(table, literal string) string
}

// Run runs the suite. Its tests run in parallel.
func Run(t *testing.T, cfg Config) {
	t.Helper()
	require.NotNil(t, cfg.URL, "drivertest: Config.URL is required")
	if cfg.Insert == nil {
		cfg.Insert = func(table, literal string) string {
			return "INSERT INTO " + table + " (v) VALUES (" + literal + ")"
		}
	}
	s := suite{cfg}

	for name, test := range map[string]func(*testing.T){
		"FreshDialects":             s.testFreshDialects,
		"ConnectorOpensNothing":     s.testConnectorOpensNothing,
		"ValuesComeBack":            s.testValuesComeBack,
		"ValueMatrix":               s.testValueMatrix,
		"PayloadsStayValues":        s.testPayloadsStayValues,
		"TimesComeBack":             s.testTimesComeBack,
		"ClassifiesViolations":      s.testClassifiesViolations,
		"ClassifiesNothingElse":     s.testClassifiesNothingElse,
		"TransactionsCommit":        s.testTransactionsCommit,
		"TransactionsRollBack":      s.testTransactionsRollBack,
		"OpenBeginDoesNotLeak":      s.testOpenBeginDoesNotLeak,
		"CancelledQueryReturns":     s.testCancelledQueryReturns,
		"CancelledTxRollsBack":      s.testCancelledTxRollsBack,
		"ManyAtOnce":                s.testManyAtOnce,
		"SchemaChangesExclude":      s.testSchemaChangesExclude,
		"FindsTablesAndIndexes":     s.testFindsTablesAndIndexes,
		"DropsCycles":               s.testDropsCycles,
		"DropsNothingUnasked":       s.testDropsNothingUnasked,
		"NamesTypes":                s.testNamesTypes,
		"UnreachableIsUnavailable":  s.testUnreachableIsUnavailable,
		"LostReplyIsOutcomeUnknown": s.testLostReply,
		"LostCommitIsNoLie":         s.testLostCommit,
		"PreparesAndFinishes":       s.testPreparesAndFinishes,
		"PreparesNothingUnasked":    s.testPreparesNothingUnasked,
		"LostPrepareIsNoLie":        s.testLostPrepareIsNoLie,
		"ErrorsHideThePassword":     s.testErrorsHideThePassword,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

type suite struct{ cfg Config }

// A database is one that a test has to itself, with its pool.
type database struct {
	*bun.DB

	drv driver.Driver
	url *driver.URL
}

// open returns a database of the test's own.
func (s suite) open(t *testing.T) database {
	t.Helper()
	return s.openURL(t, s.url(t))
}

func (s suite) url(t *testing.T) *driver.URL {
	t.Helper()
	u, err := driver.ParseURL(s.cfg.URL(t))
	require.NoError(t, err)
	return u
}

func (s suite) openURL(t *testing.T, u *driver.URL) database {
	t.Helper()
	drv, err := driver.Lookup(u)
	require.NoError(t, err)
	connector, err := drv.Connector(u, options())
	require.NoError(t, err)

	sqldb := sql.OpenDB(connector)
	sqldb.SetMaxOpenConns(60)
	sqldb.SetMaxIdleConns(60)
	t.Cleanup(func() { require.NoError(t, sqldb.Close()) })
	return database{DB: bun.NewDB(sqldb, drv.Dialect()), drv: drv, url: u}
}

// via returns the URL with another address.
func via(t *testing.T, u *driver.URL, addr string) *driver.URL {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	c := *u
	c.Host = host
	c.Port, err = strconv.Atoi(port)
	require.NoError(t, err)
	return &c
}

func options() driver.Options {
	return driver.Options{
		Bind:           "drivertest",
		ConnectTimeout: 10 * time.Second,
		Logger:         slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// exec runs statements that have to succeed.
func (db database) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, "%s", statement)
	}
}

// count returns the number of rows of a table.
func (db database) count(t *testing.T, table string) int {
	t.Helper()
	var n int
	err := db.NewSelect().Table(table).ColumnExpr("count(*)").Scan(context.WithoutCancel(t.Context()), &n)
	require.NoError(t, err)
	return n
}

// requireIdle waits until no connection is in use.
func (db database) requireIdle(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, 5*time.Second, 5*time.Millisecond,
		"connections stay in use")
}
