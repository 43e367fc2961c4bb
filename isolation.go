package echobun

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/uptrace/bun/dialect"

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
		e.isolation.Store(newIsolation(e))
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

const (
	// turnLimit is how long a statement waits for the isolated connection, and
	// the server may take for a savepoint.
	turnLimit = 10 * time.Second

	// endLimit is how long the end waits for what is still running. What
	// database/sql rolls back by itself needs a moment.
	endLimit = 2 * time.Second
)

var (
	errIsolationOver = errors.New("the test that isolated the connection has ended")
	errStillInUse    = errors.New("a transaction or a statement of the isolated test was still open when it ended, and has been rolled back: end it before")
)

// An isolation is the one connection of an isolated engine, and its
// transaction. Who has the turn uses it: a transaction from its beginning to
// its end, all else while it runs.
type isolation struct {
	e      *engine
	turn   chan struct{}   // Has an element while somebody has the turn.
	life   context.Context //nolint:containedctx // Ends with the isolation, and with it what still runs then.
	finish context.CancelFunc

	mu    sync.Mutex // Held while the connection works. Protects what follows.
	base  *conn      // Nil until it is needed, and not written again.
	tx    driver.Tx
	stmts map[*viewStmt]struct{} // What is prepared on base.
	names int
	lost  error // Why there is no transaction any more.
	ended bool
}

func newIsolation(e *engine) *isolation {
	i := &isolation{e: e, turn: make(chan struct{}, 1), stmts: map[*viewStmt]struct{}{}}
	i.life, i.finish = context.WithCancel(context.Background())
	return i
}

// take waits for the turn.
func (i *isolation) take(ctx context.Context) error {
	timer := time.NewTimer(turnLimit)
	defer timer.Stop()
	select {
	case i.turn <- struct{}{}:
		return nil
	case <-i.life.Done():
		return errIsolationOver
	case <-ctx.Done():
		return fmt.Errorf("waited for the isolated connection, which something else of the same test uses: %w", ctx.Err())
	case <-timer.C:
		return fmt.Errorf("the isolated connection was in use for %s: a transaction of the same test is open, and this is outside of it", turnLimit)
	}
}

func (i *isolation) give() { <-i.turn }

// connect returns a view. The first one opens the connection.
func (i *isolation) connect(ctx context.Context, open func(context.Context) (*conn, error)) (*conn, error) {
	if err := i.ready(ctx, open); err != nil {
		return nil, i.e.wrap("connect", err)
	}
	c := newConn(i.e, &view{i: i})
	c.isolation = i
	return c, nil
}

// ready opens the connection, unless that is done.
func (i *isolation) ready(ctx context.Context, open func(context.Context) (*conn, error)) error {
	if i.opened() {
		return nil
	}
	if err := i.take(ctx); err != nil {
		return err
	}
	defer i.give()
	if i.opened() {
		return nil
	}
	base, err := open(ctx)
	if err != nil {
		return err
	}
	// Not with ctx: the transaction outlives it, and shares none of its values.
	tx, err := base.begin(i.life, driver.TxOptions{})
	if err != nil {
		_ = base.Close()
		return i.e.wrap("BEGIN", err)
	}
	return i.install(base, tx)
}

func (i *isolation) opened() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.base != nil
}

// install makes base the connection, unless the isolation has ended meanwhile.
func (i *isolation) install(base *conn, tx driver.Tx) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return errors.Join(errIsolationOver, tx.Rollback(), base.Close())
	}
	base.inTx = true
	i.base, i.tx = base, tx
	return nil
}

// use has do work with the connection. The end of the isolation ends do's context.
func (i *isolation) use(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(i.life, cancel)
	defer stop()

	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.ended:
		return errIsolationOver
	case i.lost != nil:
		return i.lost
	}
	return do(ctx)
}

// try runs a statement in a savepoint of its own.
func (i *isolation) try(ctx context.Context, run func(context.Context) error) error {
	return i.use(ctx, func(ctx context.Context) error {
		name, err := i.markLocked()
		if err != nil {
			return err
		}
		if err := run(ctx); err != nil {
			return joinBehind(err, i.undoLocked(name))
		}
		return i.keepLocked(name)
	})
}

// goOn runs a statement in a transaction that a view has begun.
func (i *isolation) goOn(ctx context.Context, run func(context.Context) error) error {
	return i.use(ctx, func(ctx context.Context) error { return i.checkLocked(run(ctx)) })
}

// mark sets the savepoint of a view's transaction.
func (i *isolation) mark(ctx context.Context) (name string, err error) {
	err = i.use(ctx, func(context.Context) error {
		name, err = i.markLocked()
		return err
	})
	return name, err
}

// markLocked sets a savepoint. It and its end do not obey the context of who
// asks for it: on PostgreSQL one that is cancelled ends the whole transaction.
func (i *isolation) markLocked() (string, error) {
	i.names++
	name := "echobuntest_" + strconv.Itoa(i.names)
	if err := i.controlLocked("SAVEPOINT " + name); err != nil {
		return "", i.loseLocked(err)
	}
	return name, nil
}

// keepLocked releases a savepoint, or undoes what cannot be kept.
func (i *isolation) keepLocked(name string) error {
	err := i.controlLocked("RELEASE SAVEPOINT " + name)
	if err != nil {
		return joinBehind(err, i.undoLocked(name))
	}
	return nil
}

func (i *isolation) undoLocked(name string) error {
	err := i.controlLocked("ROLLBACK TO SAVEPOINT " + name)
	if err == nil {
		err = i.controlLocked("RELEASE SAVEPOINT " + name)
	}
	if err != nil {
		return i.loseLocked(err)
	}
	return nil
}

// checkLocked finds out whether a failed statement has ended the transaction.
// After a deadlock MySQL commits each further statement by itself; a savepoint
// is gone then as soon as it is set.
func (i *isolation) checkLocked(err error) error {
	if err == nil || !endsTx(err) || !i.is(dialect.MySQL) {
		return err
	}
	name, later := i.markLocked()
	if later == nil {
		if later = i.controlLocked("RELEASE SAVEPOINT " + name); later != nil {
			later = i.loseLocked(later)
		}
	}
	return joinBehind(err, later)
}

// loseLocked remembers that there is no transaction any more.
func (i *isolation) loseLocked(err error) error {
	i.lost = fmt.Errorf("the transaction that isolates the test was lost, so what the test wrote may stay "+
		"(DDL in a procedure, a COMMIT in a script, a deadlock and a cut connection do that): %w", err)
	return i.lost
}

func (i *isolation) controlLocked(query string) error {
	ctx, cancel := context.WithTimeout(i.life, turnLimit)
	defer cancel()
	_, err := i.base.execAny(ctx, query, nil)
	return err
}

// is reports what kind of database it is.
func (i *isolation) is(name dialect.Name) bool { return i.e.db.Dialect().Name() == name }

// end rolls everything back, also what is still open.
func (i *isolation) end() error {
	busy := i.rest()
	if busy == nil {
		defer i.give()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	defer i.finish()
	i.ended = true
	if i.base == nil {
		return i.e.wrap("end isolation", busy)
	}
	for s := range i.stmts {
		_ = s.stmt.Close() // The connection is closed, too.
	}
	clear(i.stmts)
	failed := errors.Join(i.tx.Rollback(), i.base.Close())
	if i.lost != nil {
		failed = i.lost // Which explains the others.
	}
	return i.e.wrap("end isolation", errors.Join(busy, failed))
}

// rest waits until nobody has the turn, and takes it. Who has it for too long is stopped.
func (i *isolation) rest() error {
	timer := time.NewTimer(endLimit)
	defer timer.Stop()
	select {
	case i.turn <- struct{}{}:
		return nil
	case <-timer.C:
		i.finish()
		return errStillInUse
	}
}
