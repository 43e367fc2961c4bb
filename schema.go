package echobun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/driver"
)

// lockWait bounds the wait for locks of CreateAll and DropAll where the
// context has no earlier deadline.
const lockWait = 10 * time.Second

// CreateAll makes the tables and indexes that are declared and missing: of
// the binds with those keys, of all binds that have something declared if no
// key is given, and of none for an empty slice that is spread into it. It
// never alters what exists; an index is made only together with its table. A
// foreign key to a table that is neither declared nor there makes its bind fail.
//
// It needs an active app context. Every key is checked before the first
// statement. Binds run at the same time, and one that fails does not stop the
// others; the error joins a [*BindError] for each. Within a bind parents come
// before their children, and all is one transaction where the database has
// transactional DDL. Several processes may call it at once.
//
// Other errors are [ErrNoAppContext], [ErrAppContextEnded], [ErrClosed],
// [*UnknownBindError], and [*ConfigError] for a bind that is Unmanaged.
func (x *Extension) CreateAll(ctx context.Context, binds ...string) error {
	return x.forBinds(ctx, binds, createTables)
}

// DropAll drops the tables that are declared and exist, children first, and
// nothing else. Which binds, and its errors, are as for [Extension.CreateAll].
// A table that is not declared and refers to one that is makes its bind fail.
func (x *Extension) DropAll(ctx context.Context, binds ...string) error {
	return x.forBinds(ctx, binds, dropTables)
}

// forBinds runs do on the engines of the keys, all at the same time.
func (x *Extension) forBinds(ctx context.Context, keys []string, do func(context.Context, *engine) error) error {
	if _, err := x.Session(ctx); err != nil {
		return err
	}
	engines, err := x.managed(keys)
	if err != nil {
		return err
	}

	errs := make([]error, len(engines))
	panics := make([]any, len(engines))
	var wg sync.WaitGroup
	for i, e := range engines {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			errs[i] = e.wrap("schema", errors.New("a hook called runtime.Goexit")) // Unless do returns.
			errs[i] = do(ctx, e)
		})
	}
	wg.Wait()

	for _, p := range panics {
		if p != nil {
			panic(p) // A model hook's, on the caller's goroutine where Recover sees it.
		}
	}
	return errors.Join(errs...)
}

// managed returns the engines of the keys, each once; for nil those that have
// something declared and are not Unmanaged.
func (x *Extension) managed(keys []string) ([]*engine, error) {
	if keys == nil {
		var all []*engine
		for _, key := range x.keys() {
			if e := x.engines[key]; !e.unmanaged && len(e.metadata.declared()) > 0 {
				all = append(all, e)
			}
		}
		return all, nil
	}

	var engines []*engine
	var errs []error
	for _, key := range keys {
		e, err := x.engine(key)
		if err == nil && e.unmanaged {
			err = &ConfigError{Bind: key, Field: "Unmanaged", Err: errors.New("CreateAll and DropAll leave this bind alone")}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.Contains(engines, e) {
			engines = append(engines, e)
		}
	}
	return engines, errors.Join(errs...)
}

// schemaChange is a change of one bind's tables, on a connection of its own.
type schemaChange struct {
	e   *engine
	ddl driver.DDL // Nil if the driver has none.
	db  bun.IDB
}

// changeSchema runs do on a connection that is ready for DDL.
func changeSchema(ctx context.Context, e *engine, op string, do func(*schemaChange) error) error {
	waitCtx, w := e.pool.enter(ctx)
	conn, err := e.db.Conn(waitCtx)
	e.pool.leave(w)
	w.release()
	if err != nil {
		return e.statementError(w, op, err)
	}
	e.pool.held.Add(1)
	defer func() {
		e.pool.held.Add(-1)
		_ = conn.Close()
	}()

	ddl, ok := e.drv.(driver.DDL)
	if !ok {
		return e.wrap(op, do(&schemaChange{e: e, db: conn}))
	}
	db, finish, err := ddl.BeginDDL(ctx, conn, lockWait)
	if err != nil {
		return e.wrap(op, err)
	}
	finished := false
	defer func() {
		if !finished {
			_ = finish(errors.New("panic")) // Of a model hook; it goes on.
		}
	}()
	err = do(&schemaChange{e: e, ddl: ddl, db: db})
	finished = true
	if finishErr := finish(err); err == nil {
		err = finishErr
	}
	return e.wrap(op, err)
}

// failed names the table or index that could not be made or dropped.
func (c *schemaChange) failed(op, name string, err error) error {
	cause, class := err, c.e.classify(err)
	var inner *BindError
	if errors.As(err, &inner) {
		cause, class = inner.Err, inner.class
	}
	return &BindError{Bind: c.e.key, Op: fmt.Sprintf("%s %q", op, name), Err: cause, class: class}
}

func createTables(ctx context.Context, e *engine) error {
	return changeSchema(ctx, e, "CREATE TABLE", func(c *schemaChange) error {
		tables := inOrder(e.metadata.declared())
		existing, err := c.existing(ctx, tables)
		if err == nil {
			err = c.checkParents(ctx, tables, existing)
		}
		if err != nil {
			return err
		}

		var late []lateKey
		present := existing
		for _, d := range tables {
			if existing[d.fullName()] {
				if err := c.reportMissingIndexes(ctx, d); err != nil {
					return err
				}
				continue
			}
			later, err := c.create(ctx, d, present)
			if err != nil {
				return err
			}
			late = append(late, later...)
		}
		return c.addKeys(ctx, late)
	})
}

// existing returns which of the tables exist, by their full names.
func (c *schemaChange) existing(ctx context.Context, tables []*declared) (map[string]bool, error) {
	existing := make(map[string]bool)
	if c.ddl == nil || len(tables) == 0 {
		return existing, nil
	}
	names := make([]driver.TableName, len(tables))
	for i, d := range tables {
		names[i] = d.name
	}
	found, err := c.ddl.ExistingTables(ctx, c.db, names)
	for _, name := range found {
		existing[fullName(name)] = true
	}
	return existing, err
}

// checkParents returns an error for a foreign key of a table that is to be made
// if the table that it refers to is neither declared nor there. SQLite makes such
// a table, and refuses its rows later.
func (c *schemaChange) checkParents(ctx context.Context, tables []*declared, existing map[string]bool) error {
	if c.ddl == nil {
		return nil
	}
	var errs []error
	for _, d := range tables {
		if existing[d.fullName()] {
			continue
		}
		for _, key := range d.foreignKeys(c.e.metadata.x.foreignKeys) {
			if c.e.metadata.lookup(key.parent) != nil {
				continue
			}
			var parent driver.TableName
			parent.Schema, parent.Name = splitName(key.parent)
			found, err := c.ddl.ExistingTables(ctx, c.db, []driver.TableName{parent})
			if err == nil && len(found) == 0 {
				err = c.failed("CREATE TABLE", d.fullName(), fmt.Errorf("its column %q refers to table %q, which is neither registered on %s nor there: "+
					"register it too, or make it first", strings.Join(key.columns, ", "), key.parent, bindName(c.e.key)))
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// A lateKey is a foreign key whose parent did not exist when its table was made.
type lateKey struct {
	d   *declared
	key foreignKey
}

// create makes a table with its indexes, and returns the foreign keys that
// have to wait. Present are the tables that exist; d joins them.
func (c *schemaChange) create(ctx context.Context, d *declared, present map[string]bool) ([]lateKey, error) {
	present[d.fullName()] = true
	q := newTable(c.db).Model(d.model).IfNotExists()

	var late []lateKey
	for _, key := range d.foreignKeys(c.e.metadata.x.foreignKeys) {
		if c.ddl != nil && c.ddl.LateForeignKeys() && !present[key.parent] && c.e.metadata.lookup(key.parent) != nil {
			late = append(late, lateKey{d, key})
			continue
		}
		query, args := key.clause()
		q = q.ForeignKey(query, args...)
	}
	if _, err := q.Exec(ctx); err != nil {
		return nil, c.failed("CREATE TABLE", d.fullName(), err)
	}
	return late, c.createIndexes(ctx, d)
}

// clause returns the key as it stands in CREATE TABLE after FOREIGN KEY.
func (k foreignKey) clause() (string, []any) {
	query, args := "(?) REFERENCES ? (?)", []any{idents(k.columns), bun.Ident(k.parent), idents(k.parentColumns)}
	if k.actions != "" {
		query, args = query+" ?", append(args, bun.Safe(k.actions))
	}
	return query, args
}

func (c *schemaChange) addKeys(ctx context.Context, late []lateKey) error {
	for _, l := range late {
		clause, args := l.key.clause()
		args = append([]any{bun.Ident(l.d.fullName())}, args...)
		if _, err := c.db.ExecContext(ctx, "ALTER TABLE ? ADD FOREIGN KEY "+clause, args...); err != nil {
			return c.failed("ADD FOREIGN KEY to", l.d.fullName(), err)
		}
	}
	return nil
}

func (c *schemaChange) createIndexes(ctx context.Context, d *declared) error {
	if d.def == nil {
		return nil
	}
	for _, ix := range d.def.Indexes {
		q := c.db.NewCreateIndex().Model(d.model).Index(d.def.indexName(ix)).Column(ix.Columns...)
		if c.ddl == nil {
			q = q.IfNotExists()
		}
		if ix.Unique {
			q = q.Unique()
		}
		if _, err := q.Exec(ctx); err != nil {
			return c.failed("CREATE INDEX", d.def.indexName(ix), err)
		}
	}
	return nil
}

// reportMissingIndexes logs the indexes that an existing table should have.
func (c *schemaChange) reportMissingIndexes(ctx context.Context, d *declared) error {
	if d.def == nil || len(d.def.Indexes) == 0 {
		return nil
	}
	names, err := c.ddl.ExistingIndexes(ctx, c.db, d.name)
	if err != nil {
		return err
	}
	for _, ix := range d.def.Indexes {
		if name := d.def.indexName(ix); !slices.Contains(names, name) {
			c.e.metadata.x.logger.WarnContext(ctx, "echobun: an existing table has not got a declared index, and CreateAll does not alter it",
				"bind", c.e.key, "table", d.fullName(), "index", name)
		}
	}
	return nil
}

func dropTables(ctx context.Context, e *engine) error {
	return changeSchema(ctx, e, "DROP TABLE", func(c *schemaChange) error {
		tables := inOrder(e.metadata.declared())
		slices.Reverse(tables)
		if c.ddl == nil {
			return c.dropEach(ctx, tables)
		}

		existing, err := c.existing(ctx, tables)
		if err != nil {
			return err
		}
		tables = slices.DeleteFunc(tables, func(d *declared) bool { return !existing[d.fullName()] })
		if len(tables) == 0 {
			return nil
		}
		return c.dropTogether(ctx, tables)
	})
}

// dropTogether drops tables that may refer to each other. Bun's hooks of the
// models are called as if each were dropped alone.
func (c *schemaChange) dropTogether(ctx context.Context, tables []*declared) error {
	names := make([]driver.TableName, len(tables))
	for i, d := range tables {
		names[i] = d.name
		if hook, ok := d.table.ZeroIface.(bun.BeforeDropTableHook); ok {
			if err := hook.BeforeDropTable(ctx, c.db.NewDropTable().Model(d.model)); err != nil {
				return c.failed("DROP TABLE", d.fullName(), err)
			}
		}
	}
	if err := c.ddl.DropTables(ctx, c.db, names); err != nil {
		return err
	}
	for _, d := range tables {
		if hook, ok := d.table.ZeroIface.(bun.AfterDropTableHook); ok {
			if err := hook.AfterDropTable(ctx, c.db.NewDropTable().Model(d.model)); err != nil {
				return c.failed("DROP TABLE", d.fullName(), err)
			}
		}
	}
	return nil
}

func (c *schemaChange) dropEach(ctx context.Context, tables []*declared) error {
	for _, d := range tables {
		if _, err := c.db.NewDropTable().Model(d.model).IfExists().Exec(ctx); err != nil {
			return c.failed("DROP TABLE", d.fullName(), err)
		}
	}
	return nil
}

// idents are names, quoted and separated by commas.
type idents []string

// AppendQuery implements schema.QueryAppender.
func (names idents) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	for i, name := range names {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = gen.AppendName(b, name)
	}
	return b, nil
}
