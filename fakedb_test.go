package echobun_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// The errors of the fake database.
var (
	errFakeClose     = errors.New("fakedb: cannot close")
	errFakeStatement = errors.New("fakedb: statement says no")
)

// fakeDB is a driver whose connections can little or much, by the host of the
// URL, for what real drivers all have in common. It runs nothing; a statement
// with FAIL in it fails.
type fakeDB struct{}

func init() { driver.Register("fakedb", fakeDB{}) } //nolint:gochecknoinits // As a driver package does.

// fakeLog has what the fake database was asked for, by the name of the
// database in the URL.
var fakeLog = struct {
	sync.Mutex // Protects what follows.

	calls map[string][]string
	open  map[string]int // Connections.
}{calls: make(map[string][]string), open: make(map[string]int)}

// fakeCalls returns what the fake database of that name was asked for.
func fakeCalls(name string) []string {
	fakeLog.Lock()
	defer fakeLog.Unlock()
	return append([]string{}, fakeLog.calls[name]...)
}

// fakeOpen returns how many connections of that fake database are open.
func fakeOpen(name string) int {
	fakeLog.Lock()
	defer fakeLog.Unlock()
	return fakeLog.open[name]
}

func (fakeDB) Dialect() schema.Dialect { return sqlitedialect.New() }

func (fakeDB) Classify(err error) driver.Class {
	switch {
	case errors.Is(err, errFakeStatement):
		return driver.Check
	case errors.Is(err, syscall.ECONNREFUSED):
		return driver.Unavailable
	}
	return 0
}

func (fakeDB) Connector(u *driver.URL, _ driver.Options) (sqldriver.Connector, error) {
	c := &fakeConnector{kind: u.Host, name: u.Database}
	if u.Host == "closes-badly" {
		return &badCloser{c}, nil
	}
	return c, nil
}

type fakeConnector struct{ kind, name string }

// badCloser is a connector that fails to close.
type badCloser struct{ *fakeConnector }

func (*badCloser) Close() error { return errFakeClose }

func (c *fakeConnector) Driver() sqldriver.Driver { return nil }

func (c *fakeConnector) Connect(context.Context) (sqldriver.Conn, error) {
	plain := &plainConn{c}
	if c.kind == "refuses" {
		return nil, errors.Join(c.log("connect", ""), &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	}
	c.count(1)
	switch c.kind {
	case "plain":
		return plain, nil
	case "skips":
		return &skippingConn{plain}, nil
	}
	return &fullConn{plain}, nil
}

// count counts the connections that are open.
func (c *fakeConnector) count(n int) {
	fakeLog.Lock()
	defer fakeLog.Unlock()
	fakeLog.open[c.name] += n
}

// log notes a call, and fails it if FAIL is in its statement. With PANIC or
// GOEXIT it does that.
func (c *fakeConnector) log(call, statement string) error {
	fakeLog.Lock()
	defer fakeLog.Unlock()
	fakeLog.calls[c.name] = append(fakeLog.calls[c.name], call+" "+statement)
	switch {
	case strings.Contains(statement, "FAIL"):
		return errFakeStatement
	case strings.Contains(statement, "PANIC"):
		panic(errFakeStatement)
	case strings.Contains(statement, "GOEXIT"):
		runtime.Goexit()
	}
	return nil
}

// plainConn can what every [driver.Conn] has to, and no more.
type plainConn struct{ *fakeConnector }

func (c *plainConn) Close() error { c.count(-1); return nil }

func (c *plainConn) Begin() (sqldriver.Tx, error) { return &fakeTx{c}, c.log("begin", "") }

func (c *plainConn) Prepare(query string) (sqldriver.Stmt, error) {
	if query == "UNPREPARED" {
		return nil, errFakeStatement
	}
	return &plainStmt{c, query}, c.log("prepare", query)
}

// skippingConn has the methods of a full connection that send it back to
// prepared statements.
type skippingConn struct{ *plainConn }

func (*skippingConn) ExecContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Result, error) {
	return nil, sqldriver.ErrSkip
}

func (*skippingConn) QueryContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return nil, sqldriver.ErrSkip
}

// fullConn has every optional method.
type fullConn struct{ *plainConn }

func (c *fullConn) ExecContext(_ context.Context, query string, _ []sqldriver.NamedValue) (sqldriver.Result, error) {
	return sqldriver.RowsAffected(1), c.log("exec", query)
}

func (c *fullConn) QueryContext(_ context.Context, query string, _ []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return &fullRows{plainRows: plainRows{fails: query == "SELECT BREAK"}}, c.log("query", query)
}

func (c *fullConn) PrepareContext(_ context.Context, query string) (sqldriver.Stmt, error) {
	return &fullStmt{&plainStmt{c.plainConn, query}}, c.log("prepare", query)
}

func (c *fullConn) BeginTx(_ context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	return &fakeTx{c.plainConn}, c.log("begin", strconv.FormatBool(opts.ReadOnly))
}

func (c *fullConn) Ping(context.Context) error { return c.log("ping", "") }

func (c *fullConn) ResetSession(context.Context) error { return c.log("reset", "") }

func (c *fullConn) IsValid() bool { return true }

func (c *fullConn) CheckNamedValue(v *sqldriver.NamedValue) error {
	v.Value = fmt.Sprintf("checked %v", v.Value)
	return nil
}

type fakeTx struct{ c *plainConn }

func (t *fakeTx) Commit() error { return t.c.log("commit", "") }

func (t *fakeTx) Rollback() error {
	if t.c.kind == "slow-rollback" {
		time.Sleep(50 * time.Millisecond)
	}
	return t.c.log("rollback", "")
}

// plainStmt has no context.
type plainStmt struct {
	c     *plainConn
	query string
}

func (s *plainStmt) Close() error { return nil }

func (s *plainStmt) NumInput() int { return -1 }

func (s *plainStmt) Exec(args []sqldriver.Value) (sqldriver.Result, error) {
	return sqldriver.RowsAffected(len(args)), s.run("stmt exec", args)
}

func (s *plainStmt) Query(args []sqldriver.Value) (sqldriver.Rows, error) {
	return &plainRows{}, s.run("stmt query", args)
}

func (s *plainStmt) run(call string, args []sqldriver.Value) error {
	if len(args) > 0 {
		call = fmt.Sprint(call, " ", args)
	}
	return s.c.log(call, s.query)
}

// fullStmt has contexts and converts its own values.
type fullStmt struct{ *plainStmt }

func (s *fullStmt) ExecContext(_ context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return sqldriver.RowsAffected(1), s.c.log(fmt.Sprint("stmt exec ", args), s.query)
}

func (s *fullStmt) QueryContext(_ context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return &plainRows{}, s.c.log(fmt.Sprint("stmt query ", args), s.query)
}

func (s *fullStmt) ColumnConverter(int) sqldriver.ValueConverter { return sqldriver.String }

// plainRows are one row with the number one.
type plainRows struct {
	done  bool
	fails bool // The row that follows is an error, and so is Close.
}

func (r *plainRows) Columns() []string { return []string{"n"} }

func (r *plainRows) Close() error {
	if r.fails {
		return errFakeClose
	}
	return nil
}

func (r *plainRows) Next(dest []sqldriver.Value) error {
	switch {
	case !r.done:
		r.done, dest[0] = true, int64(1)
		return nil
	case r.fails:
		return errFakeStatement
	}
	return io.EOF
}

// fullRows know all about their column, and have a second result.
type fullRows struct {
	plainRows
	second bool // It is being read.
}

func (r *fullRows) HasNextResultSet() bool { return r.done && !r.second }

func (r *fullRows) NextResultSet() error {
	if r.second {
		return io.EOF
	}
	r.done, r.second = false, true
	return nil
}

func (*fullRows) ColumnTypeScanType(int) reflect.Type { return reflect.TypeFor[int64]() }

func (*fullRows) ColumnTypeDatabaseTypeName(int) string { return "BIGINT" }

func (*fullRows) ColumnTypeLength(int) (int64, bool) { return 8, true }

func (*fullRows) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

func (*fullRows) ColumnTypePrecisionScale(int) (precision, scale int64, ok bool) { return 19, 2, true }
