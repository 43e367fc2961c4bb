package echobun_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// A faulty driver is one of ours that fails where a plan says so. Its URLs
// name it and the plan: "sqlite+faulty:///x.db?plan=name".
type faultyDriver struct{ driver.Driver }

// faultyPreparer is a faulty driver that can prepare transactions.
type faultyPreparer struct {
	faultyDriver
	driver.TwoPhase
}

func init() { //nolint:gochecknoinits // As a driver package does.
	for scheme, d := range driver.Drivers() {
		switch scheme {
		case "postgresql", "mysql":
			tp, _ := d.(driver.TwoPhase)
			driver.Register(scheme+"+faulty", faultyPreparer{faultyDriver{d}, tp})
		case "sqlite":
			driver.Register(scheme+"+faulty", faultyDriver{d})
		}
	}
}

// A plan says which operation fails, counted over all connections that have it.
type plan struct {
	mu      sync.Mutex // Protects what follows.
	n       int        // The first operation that fails; zero means none, less than zero all up to it.
	forever bool       // So do all after it.
	lost    bool       // It is done, and the answer lost.
	only    string     // If set, the one operation that is counted, with its bind.
	cause   error      // If set, what the server says.
	count   int
	failed  []string // Binds and operations that have failed.
	ops     []string
}

var plans sync.Map // By name.

var errFault = errors.New("faulty driver: this is the operation that fails")

// set makes the plan new.
func (p *plan) set(n int, forever, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n, p.forever, p.lost, p.count, p.failed, p.ops = n, forever, lost, 0, nil, nil
	p.only, p.cause = "", nil
}

// refuse has the server say cause to the first n of an operation.
func (p *plan) refuse(only string, n int, cause error) {
	p.set(-n, false, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.only, p.cause = only, cause
}

// fault is the error of an operation that is not done.
func (p *plan) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil {
		return errFault
	}
	return fmt.Errorf("%w: %w", errFault, p.cause)
}

// untouched reports whether nothing has failed.
func (p *plan) untouched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.failed) == 0
}

func (p *plan) firstFailed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[0]
}

// next counts an operation, and says whether it fails, and whether it is done
// nevertheless.
func (p *plan) next(bind, op string) (fails, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.only != "" && p.only != bind+" "+op {
		return false, false
	}
	p.count++
	p.ops = append(p.ops, bind+" "+op)
	if p.n == 0 || p.count < p.n || p.n > 0 && p.count > p.n && !p.forever || p.n < 0 && p.count > -p.n {
		return false, false
	}
	p.failed = append(p.failed, bind)
	return true, p.lost
}

// faulty does an operation as the plan says.
func faulty[T any](c *faultyConn, op string, do func() (T, error)) (T, error) {
	var none T
	fails, done := c.plan.next(c.bind, op)
	switch {
	case !fails:
		return do()
	case done:
		if _, err := do(); err != nil {
			return none, err
		}
		c.broken = true
		return none, wire.OutcomeUnknown(errFault)
	}
	return none, c.plan.fault()
}

type faultyConnector struct {
	sqldriver.Connector

	plan *plan
	bind string
}

func (d faultyDriver) Connector(u *driver.URL, o driver.Options) (sqldriver.Connector, error) {
	plain := *u
	plain.Driver = ""
	plain.Query = url.Values{}
	for k, v := range u.Query {
		if k != "plan" {
			plain.Query[k] = v
		}
	}
	inner, err := d.Driver.Connector(&plain, o)
	if err != nil {
		return nil, err
	}
	p, ok := plans.Load(u.Query.Get("plan"))
	if !ok {
		return nil, fmt.Errorf("no plan %q", u.Query.Get("plan"))
	}
	return &faultyConnector{Connector: inner, plan: p.(*plan), bind: o.Bind}, nil //nolint:errcheck // Nothing else is in there.
}

func (c *faultyConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if fails, _ := c.plan.next(c.bind, "connect"); fails {
		return nil, errFault
	}
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyConn{faultyInner: inner.(faultyInner), plan: c.plan, bind: c.bind}, nil //nolint:errcheck // Ours are.
}

func (c *faultyConnector) Close() error {
	if closer, ok := c.Connector.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}

// faultyInner is what the connections of our drivers have in common.
type faultyInner interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.Pinger
	sqldriver.SessionResetter
	sqldriver.Validator
}

type faultyConn struct {
	faultyInner

	plan   *plan
	bind   string
	broken bool
}

func (c *faultyConn) Unwrap() sqldriver.Conn { return c.faultyInner }

func (c *faultyConn) CheckNamedValue(v *sqldriver.NamedValue) error {
	if checker, ok := c.faultyInner.(sqldriver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return sqldriver.ErrSkip
}

func (c *faultyConn) IsValid() bool { return !c.broken && c.faultyInner.IsValid() }

func (c *faultyConn) ResetSession(ctx context.Context) error {
	if fails, _ := c.plan.next(c.bind, "reset"); fails || c.broken {
		return sqldriver.ErrBadConn
	}
	return c.faultyInner.ResetSession(ctx)
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return faulty(c, query, func() (sqldriver.Result, error) { return c.faultyInner.ExecContext(ctx, query, args) })
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := faulty(c, query, func() (sqldriver.Rows, error) { return c.faultyInner.QueryContext(ctx, query, args) })
	if err != nil {
		return nil, err
	}
	return &faultyRows{Rows: rows, c: c}, nil
}

type faultyRows struct {
	sqldriver.Rows

	c *faultyConn
}

func (r *faultyRows) Next(dest []sqldriver.Value) error {
	if fails, _ := r.c.plan.next(r.c.bind, "row"); fails {
		return errFault
	}
	return r.Rows.Next(dest)
}

func (c *faultyConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	fails, _ := c.plan.next(c.bind, "BEGIN")
	if fails {
		return nil, errFault
	}
	inner, err := c.faultyInner.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &faultyTx{inner: inner, c: c}, nil
}

type faultyTx struct {
	inner sqldriver.Tx
	c     *faultyConn
}

// Commit rolls back where it fails: the server has refused.
func (t *faultyTx) Commit() error {
	_, err := faulty(t.c, "COMMIT", func() (struct{}, error) { return struct{}{}, t.inner.Commit() })
	if errors.Is(err, errFault) && !wire.IsOutcomeUnknown(err) {
		_ = t.inner.Rollback()
	}
	return err
}

// Rollback does nothing where it fails: the connection is left as it is.
func (t *faultyTx) Rollback() error {
	_, err := faulty(t.c, "ROLLBACK", func() (struct{}, error) { return struct{}{}, t.inner.Rollback() })
	return err
}

func (d faultyPreparer) CommitPrepared(ctx context.Context, conn bun.Conn, id string) error {
	return d.onConn(conn, "COMMIT PREPARED", func() error { return d.TwoPhase.CommitPrepared(ctx, conn, id) })
}

func (d faultyPreparer) RollbackPrepared(ctx context.Context, conn bun.Conn, id string) error {
	return d.onConn(conn, "ROLLBACK PREPARED", func() error { return d.TwoPhase.RollbackPrepared(ctx, conn, id) })
}

func (d faultyPreparer) onConn(conn bun.Conn, op string, do func() error) error {
	var fc *faultyConn
	if err := conn.Raw(func(dc any) error {
		fc, _ = dc.(interface{ Unwrap() sqldriver.Conn }).Unwrap().(*faultyConn)
		return nil
	}); err != nil {
		return err
	}
	_, err := faulty(fc, op, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// Classify knows that an answer was lost, on SQLite too.
func (d faultyDriver) Classify(err error) driver.Class {
	if wire.IsOutcomeUnknown(err) {
		return driver.OutcomeUnknown
	}
	return d.Driver.Classify(err)
}
