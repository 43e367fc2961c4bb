package echobun

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/echobun/echobun/internal/bridge"
)

// This file is what echobuntest.Isolate does: while an engine is isolated, all
// its connections are views of one, which is in a transaction that is rolled
// back in the end. Nobody above database/sql knows.

var _ = bridge.SetIsolate(func(extension any) (func() error, error) {
	x, ok := extension.(*Extension)
	if !ok || x == nil {
		return nil, fmt.Errorf("echobun: isolate: %T is no extension", extension)
	}
	return x.isolate()
})

// isolated reports whether the extension is isolated.
func (x *Extension) isolated() bool { return x.isolating.Load() }

// isolate isolates all engines until end is called.
func (x *Extension) isolate() (end func() error, err error) {
	if x.closed.Load() {
		return nil, ErrClosed
	}
	for _, key := range x.keys() {
		if !x.engines[key].owned {
			return nil, fmt.Errorf("echobun: isolate: the engine of %s is the application's own (EngineOptions.DB): isolate it there", bindName(key))
		}
	}
	if !x.isolating.CompareAndSwap(false, true) {
		return nil, errors.New("echobun: isolate: the extension is isolated already")
	}
	for _, e := range x.engines {
		e.isolation.Store(&isolation{e: e, turn: make(chan struct{}, 1)})
	}
	return x.endIsolation, nil
}

func (x *Extension) endIsolation() error {
	var errs []error
	for _, key := range x.keys() {
		if i := x.engines[key].isolation.Swap(nil); i != nil {
			errs = append(errs, i.end())
		}
	}
	x.isolating.Store(false)
	return errors.Join(errs...)
}

// turnLimit is how long a statement waits for the isolated connection.
const turnLimit = 10 * time.Second

// An isolation is the one connection of an isolated engine, and its
// transaction. Whoever has the turn uses it.
type isolation struct {
	e    *engine
	turn chan struct{} // Has an element while somebody has the turn, who may use what follows.

	base  *conn // Nil until it is needed.
	tx    driver.Tx
	names int
	lost  error // Why there is no transaction any more.
	ended bool
}

var errIsolationOver = errors.New("the test that isolated the connection has ended")

// take waits for the turn.
func (i *isolation) take(ctx context.Context) error {
	timer := time.NewTimer(turnLimit)
	defer timer.Stop()
	select {
	case i.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("the isolated connection was in use for %s: a transaction of the same test is open, and this is outside of it", turnLimit)
	}
	switch {
	case i.ended:
		i.give()
		return errIsolationOver
	case i.lost != nil:
		i.give()
		return i.lost
	}
	return nil
}

func (i *isolation) give() { <-i.turn }

// connect returns a view. The first one opens the connection.
func (i *isolation) connect(ctx context.Context, open func(context.Context) (*conn, error)) (*conn, error) {
	if err := i.take(ctx); err != nil {
		return nil, i.e.wrap("connect", err)
	}
	defer i.give()
	if i.base == nil {
		base, err := open(ctx)
		if err != nil {
			return nil, err
		}
		tx, err := base.begin(context.WithoutCancel(ctx), driver.TxOptions{})
		if err != nil {
			_ = base.Close()
			return nil, i.e.wrap("BEGIN", err)
		}
		base.inTx = true
		i.base, i.tx = base, tx
	}
	c := newConn(i.e, &view{i: i})
	c.isolation = i
	return c, nil
}

// end rolls everything back.
func (i *isolation) end() error {
	err := i.take(context.Background())
	if err != nil && i.lost == nil {
		return i.e.wrap("end isolation", err)
	}
	if err == nil {
		defer i.give()
	}
	i.ended = true
	if i.base == nil {
		return nil
	}
	return i.e.wrap("end isolation", errors.Join(i.tx.Rollback(), i.base.Close()))
}

// A view is a connection that shares the isolated one. A transaction on it is
// a savepoint, and so is each statement outside of one: a failed statement
// would end the whole transaction on PostgreSQL.
type view struct {
	i         *isolation
	savepoint string // Of its transaction; empty outside of one.
}

var (
	_ driver.ExecerContext      = (*view)(nil)
	_ driver.QueryerContext     = (*view)(nil)
	_ driver.ConnBeginTx        = (*view)(nil)
	_ driver.ConnPrepareContext = (*view)(nil)
	_ driver.NamedValueChecker  = (*view)(nil)
	_ driver.Validator          = (*view)(nil)
)

func (v *view) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = v.alone(ctx, query, func() error {
		res, err = v.i.base.execAny(ctx, query, args)
		return err
	})
	return res, err
}

func (v *view) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = v.alone(ctx, query, func() error {
		rows, err = v.i.base.queryAny(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// alone runs a statement in the view's transaction, or in a savepoint of its own.
func (v *view) alone(ctx context.Context, query string, run func() error) error {
	if err := refuseControl(query); err != nil {
		return err
	}
	if v.savepoint != "" {
		return run()
	}
	if err := v.i.take(ctx); err != nil {
		return err
	}
	defer v.i.give()
	name, err := v.i.mark(ctx)
	if err != nil {
		return err
	}
	if err := run(); err != nil {
		return errors.Join(err, v.i.undo(name))
	}
	return v.i.keep(name)
}

// refuseControl refuses what would end the isolation.
func refuseControl(query string) error {
	switch op := operation(query); strings.Fields(op)[0] {
	case "BEGIN", "START", "COMMIT", "END", "ABORT", "XA":
	case "ROLLBACK":
		if op == "ROLLBACK TO" || op == "ROLLBACK TRANSACTION" && strings.Contains(strings.ToUpper(query), " TO ") {
			return nil
		}
	default:
		return nil
	}
	return errors.New("an isolated test cannot control transactions by SQL: use RunInTx or BeginTx")
}

func (v *view) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if err := v.i.take(ctx); err != nil {
		return nil, err
	}
	name, err := v.i.mark(ctx)
	if err != nil {
		v.i.give()
		return nil, err
	}
	v.savepoint = name
	return v, nil
}

func (v *view) Commit() error { return v.endTx((*isolation).keep) }

func (v *view) Rollback() error { return v.endTx((*isolation).undo) }

func (v *view) endTx(how func(*isolation, string) error) error {
	if v.savepoint == "" {
		return nil
	}
	defer v.i.give()
	name := v.savepoint
	v.savepoint = ""
	return how(v.i, name)
}

// mark sets a savepoint.
func (i *isolation) mark(ctx context.Context) (string, error) {
	i.names++
	name := "echobuntest_" + strconv.Itoa(i.names)
	return name, i.control(ctx, "SAVEPOINT "+name)
}

// keep releases a savepoint, or undoes what cannot be kept.
func (i *isolation) keep(name string) error {
	err := i.control(context.Background(), "RELEASE SAVEPOINT "+name)
	if err != nil && i.lost == nil {
		return errors.Join(err, i.undo(name))
	}
	return err
}

func (i *isolation) undo(name string) error {
	err := i.control(context.Background(), "ROLLBACK TO SAVEPOINT "+name)
	if err == nil {
		err = i.control(context.Background(), "RELEASE SAVEPOINT "+name)
	}
	if err != nil && i.lost == nil {
		i.lost = fmt.Errorf("the transaction that isolates the test is lost (MySQL ends it with DDL, and every database with a deadlock): %w", err)
		return i.lost
	}
	return err
}

func (i *isolation) control(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	_, err := i.base.execAny(ctx, query, nil)
	return err
}

func (v *view) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &viewStmt{v: v, query: query}, nil
}

func (v *view) Prepare(query string) (driver.Stmt, error) { return &viewStmt{v: v, query: query}, nil }

func (v *view) Begin() (driver.Tx, error) {
	return v.BeginTx(context.Background(), driver.TxOptions{})
}

func (v *view) CheckNamedValue(value *driver.NamedValue) error {
	return v.i.base.CheckNamedValue(value)
}

func (v *view) IsValid() bool { return v.savepoint == "" }

func (v *view) Close() error { return v.Rollback() }

// Unwrap returns the driver's connection.
func (v *view) Unwrap() driver.Conn { return v.i.base.Conn }

// viewStmt is a statement that is prepared each time it runs.
type viewStmt struct {
	v     *view
	query string
}

var (
	_ driver.StmtExecContext  = (*viewStmt)(nil)
	_ driver.StmtQueryContext = (*viewStmt)(nil)
)

func (s *viewStmt) Close() error { return nil }

func (s *viewStmt) NumInput() int { return -1 }

func (s *viewStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.v.ExecContext(ctx, s.query, args)
}

func (s *viewStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.v.QueryContext(ctx, s.query, args)
}

func (s *viewStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

func (s *viewStmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// execAny runs a statement, prepared if the driver wants it so.
func (c *conn) execAny(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.ExecContext(ctx, query, args)
	if !errors.Is(err, driver.ErrSkip) {
		return res, err
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	res, err = execStmt(ctx, s, args)
	return res, c.e.wrap(operation(query), errors.Join(err, s.Close()))
}

// queryAny is execAny for a query. Its rows are read to the end, so that the
// connection is free again.
func (c *conn) queryAny(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.QueryContext(ctx, query, args)
	if !errors.Is(err, driver.ErrSkip) {
		if err != nil {
			return nil, err
		}
		return readAll(rows)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	inner, err := queryStmt(ctx, s, args)
	if err == nil {
		inner, err = readAll(c.newRows(query, inner))
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, c.e.wrap(operation(query), err)
	}
	return inner, nil
}

// cloneValues copies a row, whose bytes are the driver's.
func cloneValues(row []driver.Value) []driver.Value {
	row = slices.Clone(row)
	for i, v := range row {
		if b, ok := v.([]byte); ok {
			row[i] = slices.Clone(b)
		}
	}
	return row
}
