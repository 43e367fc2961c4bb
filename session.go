package echobun

import (
	"reflect"
	"sync/atomic"

	"github.com/uptrace/bun"
)

// A Session is an app context's door to all engines: it sends every query to
// the engine of the model or table that the query is about.
//
//	db := c.Get("db").(*echobun.Session)
//	err := db.NewSelect().Model(&users).Where("age > ?", 18).Scan(ctx)
//
// Statements run on the engine's pool and commit by themselves, until a
// transaction is asked for with [Session.RunInTx], [Session.Begin] or an
// atomic middleware. A session opens nothing before its first statement, and
// only on the binds it uses.
// Errors of statements are [*BindError]; a bind key without an engine is an
// [*UnknownBindError], and a session whose app context has ended answers
// [ErrAppContextEnded]. All of them come when the query runs.
//
// Joins and subqueries that are written by hand across binds are not
// detected: they run on the bind of the model that the query began with.
//
// A Session is safe for concurrent use. In a transaction, though, all that is
// sent to one bind shares a connection: as in a [database/sql.Tx], read rows to
// their end before the next statement there, and send one after the other.
// PostgreSQL and MySQL refuse a statement while rows are open, which dooms the
// transaction. It has no zero value to use: it comes from [Extension.Session]
// or from the middleware.
type Session struct {
	app   *appContext
	level *level // Of the transaction that the session is in; nil for a plain one.

	// handles are chains of the engines used so far, by index of the engine.
	// A session of a thousand binds still finds each within a few steps, and
	// one that uses none costs nothing.
	handles [8]atomic.Pointer[handle]
}

// A Builder starts a query of one of Bun's types Q, on the engine that the
// model or table lives on.
type Builder[Q query[Q]] struct {
	s     *Session
	start func(bun.IDB) Q
}

// query is what Bun's builders have in common.
type query[Q any] interface {
	Model(model any) Q
	Table(tables ...string) Q
	Err(err error) Q
}

// Model returns Bun's builder on the engine of the model, with the model set.
// The model is a *T, *[]T, *[]*T or (*T)(nil), as in Bun, or a slice of
// interfaces that hold *T of one type, such as *[]any; one of Bun's own models,
// as hooks have it, is on the bind of what it is about. A map[string]any, a
// slice of them and a scalar destination have no bind of their own: they are on
// the default bind. Anything else is a [*ModelError] when the query runs: a
// mixture of models, an interface without a value, a slice of interfaces
// without an element, what is no pointer. So are values that a statement cannot
// be made of, such as a nil element of a slice to insert: see docs/models.md.
func (b Builder[Q]) Model(model any) Q {
	e, err := b.s.app.x.routeModel(model)
	if err != nil {
		return b.fail(err)
	}
	q := b.start(b.s.handle(e))
	if err := b.takes(model); err != nil {
		return failQuery(q, &ModelError{Model: reflect.TypeOf(model).String(), Bind: e.key, Err: err})
	}
	return q.Model(model)
}

// Table returns Bun's builder on the engine of the table, with the table set.
// Rows are maps, of which an insert takes one or a slice:
//
//	db.NewInsert().Table(AuditLog).Model(&map[string]any{"action": "login"})
//	db.NewSelect().Table(AuditLog).Scan(ctx, &rows) // rows is a []map[string]any
//
// It works with select, insert, update, delete, truncate and drop. The other
// queries need a struct and answer a [*ModelError] when they run; so does one
// of these with a struct as its model, which Bun would take for a second table.
func (b Builder[Q]) Table(t *Table) Q {
	e, name, err := b.s.app.x.routeTable(t)
	if err != nil {
		return b.fail(err)
	}
	var like Q
	if q, ok := b.s.handle(e).aboutTable(like, name).(Q); ok {
		return q
	}
	return b.fail(&ModelError{Model: name, Bind: e.key, Err: errTableQuery})
}

func (b Builder[Q]) fail(err error) Q {
	return failQuery(b.start(&failedDB{db: b.s.app.x.failing, err: err}), err)
}

// NewSelect starts a SELECT.
func (s *Session) NewSelect() Builder[*bun.SelectQuery] {
	return Builder[*bun.SelectQuery]{s, bun.IDB.NewSelect}
}

// NewInsert starts an INSERT.
func (s *Session) NewInsert() Builder[*bun.InsertQuery] {
	return Builder[*bun.InsertQuery]{s, bun.IDB.NewInsert}
}

// NewUpdate starts an UPDATE.
func (s *Session) NewUpdate() Builder[*bun.UpdateQuery] {
	return Builder[*bun.UpdateQuery]{s, bun.IDB.NewUpdate}
}

// NewDelete starts a DELETE. As in Bun, it is an UPDATE for models with soft
// delete, and never for a [Table].
func (s *Session) NewDelete() Builder[*bun.DeleteQuery] {
	return Builder[*bun.DeleteQuery]{s, bun.IDB.NewDelete}
}

// NewMerge starts a MERGE, on databases that have it.
func (s *Session) NewMerge() Builder[*bun.MergeQuery] {
	return Builder[*bun.MergeQuery]{s, bun.IDB.NewMerge}
}

// NewCreateTable starts a CREATE TABLE.
func (s *Session) NewCreateTable() Builder[*bun.CreateTableQuery] {
	return Builder[*bun.CreateTableQuery]{s, bun.IDB.NewCreateTable}
}

// NewDropTable starts a DROP TABLE.
func (s *Session) NewDropTable() Builder[*bun.DropTableQuery] {
	return Builder[*bun.DropTableQuery]{s, bun.IDB.NewDropTable}
}

// NewTruncateTable starts a TRUNCATE TABLE.
func (s *Session) NewTruncateTable() Builder[*bun.TruncateTableQuery] {
	return Builder[*bun.TruncateTableQuery]{s, bun.IDB.NewTruncateTable}
}

// NewAddColumn starts an ALTER TABLE ADD COLUMN.
func (s *Session) NewAddColumn() Builder[*bun.AddColumnQuery] {
	return Builder[*bun.AddColumnQuery]{s, bun.IDB.NewAddColumn}
}

// NewDropColumn starts an ALTER TABLE DROP COLUMN.
func (s *Session) NewDropColumn() Builder[*bun.DropColumnQuery] {
	return Builder[*bun.DropColumnQuery]{s, bun.IDB.NewDropColumn}
}

// NewCreateIndex starts a CREATE INDEX.
func (s *Session) NewCreateIndex() Builder[*bun.CreateIndexQuery] {
	return Builder[*bun.CreateIndexQuery]{s, bun.IDB.NewCreateIndex}
}

// NewValues returns a VALUES list of the model's rows, on the model's engine,
// for use in a CTE of a query on the same bind.
func (s *Session) NewValues(model any) *bun.ValuesQuery {
	return s.door(s.app.x.routeModel(model)).NewValues(model)
}

// NewRaw returns a raw query on the default bind. Use [Session.Bind] or
// [Session.For] to aim it at another one.
func (s *Session) NewRaw(query string, args ...any) *bun.RawQuery {
	return s.Bind(DefaultBind).NewRaw(query, args...)
}

// Bind returns the engine of a bind key as a [bun.IDB] of this session,
// whatever bind the models used with it are on. It takes raw SQL, queries
// that name their tables by hand, and goes into code that takes a bun.IDB.
//
// An unknown key is an [*UnknownBindError] when the query runs. Start queries
// from the IDB; given to the Conn method of another query, it would format the
// SQL and call the hooks a second time. A model with a many-to-many relation
// has to be registered before it is used here, and cannot be used on another
// bind that has a table of its own with the name of the table between.
//
// Its BeginTx and RunInTx are Bun's transactions on this one bind: the context
// cancels BEGIN and, in RunInTx, the statements that use it, but never the
// COMMIT; the end of the app context rolls them back.
func (s *Session) Bind(key string) bun.IDB {
	return s.door(s.app.x.engine(key))
}

// For returns the engine of a model or [*Table] as a [bun.IDB] of this
// session, as [Session.Bind] does for a key. The model is any form of value
// that [Builder.Model] takes, a plain T or a **T.
func (s *Session) For(modelOrTable any) bun.IDB {
	return s.door(s.app.x.route(modelOrTable))
}

// door returns e as a bun.IDB of this session, or one that fails with err.
func (s *Session) door(e *engine, err error) bun.IDB {
	if err != nil {
		return &failedDB{db: s.app.x.failing, err: err}
	}
	e.learnJoins(s.app.x)
	return s.handle(e)
}

// handle returns the session's handle of an engine, made at its first use.
func (s *Session) handle(e *engine) *handle {
	chain := &s.handles[e.index%len(s.handles)]
	first := chain.Load()
	for h := first; h != nil; h = h.next {
		if h.e == e {
			return h
		}
	}
	return s.addHandle(chain, first, e)
}

func (s *Session) addHandle(chain *atomic.Pointer[handle], first *handle, e *engine) *handle {
	for {
		h := &handle{s: s, e: e, next: first}
		if chain.CompareAndSwap(first, h) {
			return h
		}
		// Another goroutine added one meanwhile; it may be ours.
		first = chain.Load()
		for h := first; h != nil; h = h.next {
			if h.e == e {
				return h
			}
		}
	}
}

// usable returns why s can't be used any more, or nil.
func (s *Session) usable() error { return s.app.usable() }
