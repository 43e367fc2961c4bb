package echobun

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// An engine is one bind: a pool, a dialect, and what is declared for it.
type engine struct {
	key        string
	index      int // Position among the extension's engines.
	db         *bun.DB
	drv        driver.Driver // Nil if none is known for an engine of the user's own.
	owned      bool          // New opened the pool, so Close closes it.
	connector  *connector    // Of that pool; else nil.
	hooked     bool          // There may be query hooks.
	unmanaged  bool
	optional   bool
	metadata   *Metadata
	pool       pool
	contact    contact
	commits    commitLog
	canPrepare atomic.Bool               // The server said that it can.
	era        atomic.Int64              // Connections of an earlier one are not used again.
	isolation  atomic.Pointer[isolation] // Of a test; else nil.
	observed   bool                      // Its dialect tells of each table before a query can see it.
	naming     sync.Map                  // Struct types that stand for Tables, reflect.Type to *Table.

	// The extension's mu protects these; joins is read without it.
	joins    atomic.Int64 // How many of the extension's join models its dialect knows.
	prepared map[reflect.Type]bool
	built    []reflect.Type // What Bun has built for registered models and relations, in that order.
	isBuilt  map[reflect.Type]bool
	scratch  *schema.Tables         // Where types are rehearsed; nil until needed.
	followed map[reflect.Type]bool  // Types in scratch whose relations were rehearsed too.
	refused  map[reflect.Type]error // Types that Bun could not build in scratch.
}

// openEngine makes the engine of one bind. It opens no connection.
func openEngine(x *Extension, r resolved, cfg Config) (*engine, error) {
	e := &engine{key: r.key, unmanaged: r.opts.Unmanaged, optional: r.opts.Optional}
	e.metadata = &Metadata{x: x, e: e}
	e.commits.e, e.commits.turn = e, make(chan struct{}, 1)

	db := r.opts.DB
	if db == nil {
		opened, err := e.open(x, r, cfg)
		if err != nil {
			return nil, err
		}
		db = opened
	} else {
		e.drv = driverOf(db.Dialect().Name())
	}

	hooks := hooksOf(x, e, r.opts, cfg)
	for _, hook := range hooks {
		db = db.WithQueryHook(hook)
	}
	e.hooked = len(hooks) > 0 || !e.owned
	e.db = db
	return e, nil
}

// open makes the pool and the dialect.
func (e *engine) open(x *Extension, r resolved, cfg Config) (*bun.DB, error) {
	drv, err := driver.Lookup(r.url)
	if err != nil {
		return nil, err
	}
	inner, err := drv.Connector(r.url, driver.Options{
		Bind:           r.key,
		ConnectTimeout: max(r.opts.ConnectTimeout, 0),
		TLS:            r.opts.TLS,
		Credentials:    r.opts.Credentials,
		InstancePath:   cfg.InstancePath,
		Logger:         x.logger,
	})
	if err != nil {
		return nil, err
	}

	e.drv, e.owned = drv, true
	e.connector = &connector{e: e, inner: inner, opts: r.opts}
	sqldb := sql.OpenDB(e.connector)
	sqldb.SetMaxOpenConns(max(r.opts.MaxOpenConns, 0))
	idle := idleConns(r.opts)
	sqldb.SetMaxIdleConns(idle)
	sqldb.SetConnMaxLifetime(e.connector.lifetime())
	sqldb.SetConnMaxIdleTime(max(r.opts.ConnMaxIdleTime, 0))

	e.pool.size = max(r.opts.MaxOpenConns, 0)
	e.pool.timeout = r.opts.PoolTimeout
	if idle != noIdleLimit {
		e.pool.maxIdle = idle
	}
	e.pool.inUse = func() int { return sqldb.Stats().InUse }

	d := drv.Dialect()
	if o, ok := d.(driver.TableObserver); ok {
		o.ObserveTables(func(t *schema.Table) { e.observe(x, t) })
		e.observed = true
	}
	return bun.NewDB(sqldb, d, bun.WithConnResolver((*engineConn)(e))), nil
}

// observe sees each table that Bun builds for the engine before a query can.
func (e *engine) observe(x *Extension, t *schema.Table) {
	e.watchModel(t)
	if v, ok := e.naming.LoadAndDelete(t.Type); ok {
		if def, ok := v.(*Table); ok {
			nameTable(e, t, def)
		}
		return
	}
	x.prune(e, t)
	if isJunction(t) {
		t.IsM2MTable = true // So that Bun's own WithForeignKeys knows too.
	}
}

// hooksOf returns the hooks of an engine: the user's, then the observer.
func hooksOf(x *Extension, e *engine, opts EngineOptions, cfg Config) []bun.QueryHook {
	hooks := opts.Hooks
	if o := newObserver(x, e.key, opts, cfg); o != nil {
		hooks = append(slices.Clip(hooks), o)
	}
	return hooks
}

// idleConns translates MaxIdleConns, of which database/sql understands zero
// and less as none at all.
func idleConns(opts EngineOptions) int {
	if opts.MaxIdleConns > 0 {
		return opts.MaxIdleConns
	}
	if opts.MaxOpenConns > 0 {
		return opts.MaxOpenConns
	}
	return noIdleLimit
}

// noIdleLimit is what database/sql takes for no limit.
const noIdleLimit = 1 << 20

// driverOf returns the registered driver of a dialect, or nil.
func driverOf(name dialect.Name) driver.Driver {
	schemes := map[dialect.Name]string{
		dialect.PG:     "postgresql",
		dialect.MySQL:  "mysql",
		dialect.SQLite: "sqlite",
	}
	return driver.Drivers()[schemes[name]]
}

func (e *engine) close() error {
	if !e.owned {
		return nil
	}
	return e.wrap("close", errors.Join(e.commits.close(), e.db.Close()))
}

// wrap makes err a *BindError of this engine, unless it is one or must stay
// as it is for database/sql.
func (e *engine) wrap(op string, err error) error {
	switch err {
	case nil, io.EOF, sql.ErrNoRows, sqldriver.ErrSkip, sqldriver.ErrRemoveArgument: //nolint:errorlint // Compared as database/sql does.
		return err
	}
	var wrapped *BindError
	if errors.As(err, &wrapped) {
		return err
	}
	return &BindError{Bind: e.key, Op: op, Err: err, class: e.classify(err)}
}

// statementError is wrap for a statement that may have waited for a connection
// in vain.
func (e *engine) statementError(w *waiter, query string, err error) error {
	if timeout := e.poolTimeout(w); timeout != nil {
		return e.wrap(operation(query), timeout)
	}
	return e.wrap(operation(query), e.overtaken(err))
}

// overtaken adds ErrClosed to an error that came because the extension was
// closed meanwhile.
func (e *engine) overtaken(err error) error {
	if err == nil || !e.metadata.x.closed.Load() {
		return err
	}
	return errors.Join(ErrClosed, err)
}

// connectError is wrap for the opening of a connection, for which nothing of
// the application's has been sent yet. A server that refuses a login is out of
// reach as well, and so is one that nobody knows the password of; one that does
// not take a parameter of the URL is not.
func (e *engine) connectError(op string, err error) *BindError {
	bindErr := &BindError{Bind: e.key, Op: op, Err: err, class: e.classify(err) &^ driver.OutcomeUnknown}
	lost := op == opConnect || wire.IsOutcomeUnknown(err) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case wire.IsRefusedParameter(err):
		bindErr.class &^= driver.Unavailable
	case lost && !errors.Is(err, context.Canceled):
		bindErr.class |= driver.Unavailable
	}
	return bindErr
}

// classify asks the driver. What is the same for every driver it knows itself.
func (e *engine) classify(err error) driver.Class {
	if errors.Is(err, context.Canceled) {
		return e.driverClass(err) &^ driver.Unavailable
	}
	class := e.driverClass(err)
	var timeout *poolTimeoutError
	if errors.As(err, &timeout) && timeout.lost != nil {
		class |= driver.Unavailable
	}
	var netErr *net.OpError
	if class&driver.OutcomeUnknown != 0 || errors.Is(err, sqldriver.ErrBadConn) || errors.As(err, &netErr) && netErr.Op == "dial" {
		class |= driver.Unavailable
	}
	var value *valueError
	if errors.As(err, &value) {
		class |= driver.InvalidValue
	}
	return class
}

func (e *engine) driverClass(err error) driver.Class {
	if e.drv == nil {
		return 0
	}
	return e.drv.Classify(err)
}
