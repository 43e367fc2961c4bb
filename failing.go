package echobun

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/schema"
)

// What cannot be routed must say so when it runs, whichever of Bun's builders
// it is. This file makes builders, and an IDB, that carry an error and send
// nothing.

var errTableQuery = errors.New("a Table works with select, insert, update, delete, truncate and drop: " +
	"use Bind or For, or declare a struct")

// noModel stands in where a builder would dereference a missing model.
type noModel struct {
	bun.BaseModel `bun:"table:none"`

	ID int64 `bun:",pk"`
}

// failingDialect has every feature, so that no builder finds another fault first.
type failingDialect struct {
	schema.BaseDialect

	tables *schema.Tables
}

func newFailingDB() *bun.DB {
	d := new(failingDialect)
	d.tables = schema.NewTables(d)
	db := sql.OpenDB(noConnector{})
	_ = db.Close() // What gets past the error, through a model hook's query.DB(), ends here.
	return bun.NewDB(db, d)
}

// noConnector opens nothing.
type noConnector struct{}

func (noConnector) Connect(context.Context) (sqldriver.Conn, error) { return nil, errNoConnection }
func (noConnector) Driver() sqldriver.Driver                        { return nil }

var errNoConnection = errors.New("a query that failed has no connection")

func (*failingDialect) Init(*sql.DB)              {}
func (*failingDialect) Name() dialect.Name        { return dialect.PG }
func (*failingDialect) Features() feature.Feature { return ^feature.Feature(0) }
func (d *failingDialect) Tables() *schema.Tables  { return d.tables }
func (*failingDialect) OnTable(*schema.Table)     {}
func (*failingDialect) IdentQuote() byte          { return '"' }
func (*failingDialect) DefaultVarcharLen() int    { return 0 }
func (*failingDialect) DefaultSchema() string     { return "" }

func (*failingDialect) AppendSequence(b []byte, _ *schema.Table, _ *schema.Field) []byte { return b }

// failQuery makes q a query about nothing that fails with err.
func failQuery[Q query[Q]](q Q, err error) Q {
	return q.Err(err).Model((*noModel)(nil))
}

// failedDB is the bun.IDB of a bind that there is none for.
type failedDB struct {
	db  *bun.DB
	err error
}

var _ bun.IDB = (*failedDB)(nil)

func (f *failedDB) Dialect() schema.Dialect { return f.db.Dialect() }

func (f *failedDB) NewValues(any) *bun.ValuesQuery {
	return bun.NewValuesQuery(f.db, (*noModel)(nil)).Conn(f).Err(f.err)
}

func (f *failedDB) NewRaw(query string, args ...any) *bun.RawQuery {
	return bun.NewRawQuery(f.db, query, args...).Conn(f).Err(f.err)
}

func (f *failedDB) NewDropIndex() *bun.DropIndexQuery {
	return bun.NewDropIndexQuery(f.db).Conn(f).Err(f.err).Model((*noModel)(nil))
}

func (f *failedDB) NewSelect() *bun.SelectQuery {
	return failQuery(bun.NewSelectQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewInsert() *bun.InsertQuery {
	return failQuery(bun.NewInsertQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewUpdate() *bun.UpdateQuery {
	return failQuery(bun.NewUpdateQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewDelete() *bun.DeleteQuery {
	return failQuery(bun.NewDeleteQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewMerge() *bun.MergeQuery {
	return failQuery(bun.NewMergeQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewCreateTable() *bun.CreateTableQuery {
	return failQuery(bun.NewCreateTableQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewDropTable() *bun.DropTableQuery {
	return failQuery(bun.NewDropTableQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewCreateIndex() *bun.CreateIndexQuery {
	return failQuery(bun.NewCreateIndexQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewTruncateTable() *bun.TruncateTableQuery {
	return failQuery(bun.NewTruncateTableQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewAddColumn() *bun.AddColumnQuery {
	return failQuery(bun.NewAddColumnQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) NewDropColumn() *bun.DropColumnQuery {
	return failQuery(bun.NewDropColumnQuery(f.db).Conn(f), f.err)
}

func (f *failedDB) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, f.err
}

func (f *failedDB) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, f.err
}

func (f *failedDB) QueryRowContext(context.Context, string, ...any) *sql.Row {
	return errorRow(f.err) //nolint:contextcheck // Nothing runs that a context could end.
}

func (f *failedDB) BeginTx(context.Context, *sql.TxOptions) (bun.Tx, error) {
	return bun.Tx{}, f.err
}

func (f *failedDB) RunInTx(context.Context, *sql.TxOptions, func(context.Context, bun.Tx) error) error {
	return f.err
}

// errorRow returns a row whose Scan answers err. A [*sql.Row] only comes from
// database/sql, so an empty pool is asked with a context that is over.
func errorRow(err error) *sql.Row {
	return new(sql.DB).QueryRowContext(errorContext{err}, "")
}

// errorContext is a context that has ended with an error of its own.
type errorContext struct{ err error }

var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (errorContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (errorContext) Done() <-chan struct{}       { return closedChan }
func (c errorContext) Err() error                { return c.err }
func (errorContext) Value(any) any               { return nil }
