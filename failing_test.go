package echobun_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// A failingRun runs one query that has to fail.
type failingRun struct {
	name string
	run  func(ctx context.Context, s *echobun.Session) error
}

func ran[T any](_ T, err error) error { return err }

// queriesOf returns a query of each of the session's builders, with a model
// or without, and with chains behind them as handlers write them.
func queriesOf[T any](rows *[]T) []failingRun {
	model := (*T)(nil)
	return []failingRun{
		{"select", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Model(rows).Where("id = ?", 1).Order("id").Limit(3).Scan(ctx)
		}},
		{"select with a relation", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Model(rows).Relation("Nothing").WherePK().Relation("Other.Thing").Scan(ctx)
		}},
		{"select with a CTE", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Model(rows).With("v", s.NewValues(rows)).Column("id").ColumnExpr("1").Scan(ctx)
		}},
		{"select exec", func(ctx context.Context, s *echobun.Session) error { return ran(s.NewSelect().Model(rows).Exec(ctx)) }},
		{"select rows", func(ctx context.Context, s *echobun.Session) error {
			found, err := s.NewSelect().Model(rows).Rows(ctx)
			if err == nil {
				defer found.Close()
				return found.Err()
			}
			return err
		}},
		{"count", func(ctx context.Context, s *echobun.Session) error { return ran(s.NewSelect().Model(model).Count(ctx)) }},
		{"exists", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewSelect().Model(model).Exists(ctx))
		}},
		{"scan and count", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewSelect().Model(rows).Limit(1).ScanAndCount(ctx))
		}},
		{"deleted", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Model(rows).WhereDeleted().WhereAllWithDeleted().For("UPDATE").Scan(ctx)
		}},
		{"other model", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Model(model).Model(new([]book)).Scan(ctx)
		}},
		{"insert", func(ctx context.Context, s *echobun.Session) error { return ran(s.NewInsert().Model(new(T)).Exec(ctx)) }},
		{"insert bulk", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewInsert().Model(rows).On("CONFLICT (id) DO UPDATE").Set("id = 1").Returning("id").Exec(ctx))
		}},
		{"insert scan", func(ctx context.Context, s *echobun.Session) error {
			return s.NewInsert().Model(new(T)).Value("id", "?", 1).Ignore().Scan(ctx)
		}},
		{"update", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewUpdate().Model(new(T)).WherePK().Returning("*").Exec(ctx))
		}},
		{"update set", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewUpdate().Model(model).Set("id = ?", 1).SetColumn("id", "2").Where("1 = 1").Exec(ctx))
		}},
		{"update bulk", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewUpdate().Model(rows).Bulk().Exec(ctx))
		}},
		{"delete", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDelete().Model(new(T)).WherePK().Exec(ctx))
		}},
		{"force delete", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDelete().Model(rows).ForceDelete().Where("1 = 1").Returning("id").Exec(ctx))
		}},
		{"merge", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewMerge().Model(new(T)).Using("x").On("1 = 1").WhenDelete("MATCHED").
				WhenInsert("NOT MATCHED", func(q *bun.InsertQuery) *bun.InsertQuery { return q.Value("id", "1") }).Exec(ctx))
		}},
		{"create table", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewCreateTable().Model(model).IfNotExists().WithForeignKeys().ForeignKey("x").Exec(ctx))
		}},
		{"drop table", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDropTable().Model(model).IfExists().Cascade().Exec(ctx))
		}},
		{"truncate", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewTruncateTable().Model(model).Exec(ctx))
		}},
		{"add column", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewAddColumn().Model(model).ColumnExpr("x int").Exec(ctx))
		}},
		{"drop column", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDropColumn().Model(model).Column("x").Exec(ctx))
		}},
		{"create index", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewCreateIndex().Model(model).Index("ix").Column("id").Unique().Exec(ctx))
		}},
	}
}

// tableQueries is queriesOf for a Table.
func tableQueries(table *echobun.Table) []failingRun {
	return []failingRun{
		{"table select", func(ctx context.Context, s *echobun.Session) error {
			return s.NewSelect().Table(table).Scan(ctx, new([]map[string]any))
		}},
		{"table count", func(ctx context.Context, s *echobun.Session) error { return ran(s.NewSelect().Table(table).Count(ctx)) }},
		{"table insert", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewInsert().Table(table).Model(&map[string]any{"id": 1}).Exec(ctx))
		}},
		{"table update", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewUpdate().Table(table).Set("id = 1").Where("1 = 1").Exec(ctx))
		}},
		{"table delete", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDelete().Table(table).Where("1 = 1").Exec(ctx))
		}},
		{"table truncate", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewTruncateTable().Table(table).Exec(ctx))
		}},
		{"table drop", func(ctx context.Context, s *echobun.Session) error {
			return ran(s.NewDropTable().Table(table).Exec(ctx))
		}},
	}
}

// idbQueries returns a call of each method of the bun.IDB that open gives.
func idbQueries(open func(*echobun.Session) bun.IDB) []failingRun {
	fn := func(context.Context, bun.Tx) error { panic("there is no transaction") }
	return []failingRun{
		{"exec", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).ExecContext(ctx, "SELECT ?", 1))
		}},
		{"query", func(ctx context.Context, s *echobun.Session) error {
			rows, err := open(s).QueryContext(ctx, "SELECT ?", 1)
			if err == nil {
				defer rows.Close()
				return rows.Err()
			}
			return err
		}},
		{"query row", func(ctx context.Context, s *echobun.Session) error {
			return open(s).QueryRowContext(ctx, "SELECT ?", 1).Scan(new(int))
		}},
		{"begin", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).BeginTx(ctx, &sql.TxOptions{ReadOnly: true}))
		}},
		{"run in tx", func(ctx context.Context, s *echobun.Session) error { return open(s).RunInTx(ctx, nil, fn) }},
		{"raw exec", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewRaw("SELECT ?", 1).Exec(ctx))
		}},
		{"raw scan", func(ctx context.Context, s *echobun.Session) error {
			return open(s).NewRaw("SELECT ?", 1).Scan(ctx, new(int))
		}},
		{"values", func(ctx context.Context, s *echobun.Session) error {
			idb := open(s)
			return idb.NewSelect().With("v", idb.NewValues(&[]book{{}})).TableExpr("v").Scan(ctx, new(int))
		}},
		{"by hand select", func(ctx context.Context, s *echobun.Session) error {
			return open(s).NewSelect().TableExpr("t").ColumnExpr("1").Scan(ctx, new(int))
		}},
		{"by hand select model", func(ctx context.Context, s *echobun.Session) error {
			return open(s).NewSelect().Model(new([]book)).WhereDeleted().Scan(ctx)
		}},
		{"by hand insert", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewInsert().Model(new(book)).Exec(ctx))
		}},
		{"by hand update", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewUpdate().Model(new(book)).WherePK().Exec(ctx))
		}},
		{"by hand delete", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewDelete().Table("t").Where("1 = 1").Exec(ctx))
		}},
		{"by hand merge", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewMerge().Model(new(book)).Using("t").On("1 = 1").WhenDelete("MATCHED").Exec(ctx))
		}},
		{"by hand create table", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewCreateTable().Model((*book)(nil)).Exec(ctx))
		}},
		{"by hand drop table", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewDropTable().Table("t").Exec(ctx))
		}},
		{"by hand truncate", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewTruncateTable().Table("t").Exec(ctx))
		}},
		{"by hand add column", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewAddColumn().Table("t").ColumnExpr("x int").Exec(ctx))
		}},
		{"by hand drop column", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewDropColumn().Table("t").Column("x").Exec(ctx))
		}},
		{"by hand create index", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewCreateIndex().Table("t").Index("ix").Column("x").Exec(ctx))
		}},
		{"by hand drop index", func(ctx context.Context, s *echobun.Session) error {
			return ran(open(s).NewDropIndex().Index("ix").Exec(ctx))
		}},
	}
}

// everyQuery returns every query that there is, on one bind.
func everyQuery[T any](bind string) []failingRun {
	rows := make([]T, 1)
	all := append(queriesOf(&rows), tableQueries(&echobun.Table{Name: "t", BindKey: bind})...)
	all = append(all, idbQueries(func(s *echobun.Session) bun.IDB { return s.Bind(bind) })...)
	all = append(all, idbQueries(func(s *echobun.Session) bun.IDB { return s.For((*T)(nil)) })...)
	if bind == echobun.DefaultBind {
		all = append(all, failingRun{"raw", func(ctx context.Context, s *echobun.Session) error {
			return s.NewRaw("SELECT 1").Scan(ctx, new(int))
		}})
	}
	return all
}

// requireEach runs all queries and asserts that each fails as check wants,
// and that nothing is sent.
func requireEach(t *testing.T, x *echobun.Extension, s *echobun.Session, queries []failingRun, check func(t *testing.T, err error)) {
	t.Helper()
	for _, q := range queries {
		var err error
		require.NotPanics(t, func() { err = q.run(t.Context(), s) }, q.name)
		require.Error(t, err, q.name)
		check(t, err)
	}
	for key, engine := range x.Engines() {
		require.Zero(t, engine.Stats().OpenConnections, "a connection was opened on bind %q", key)
	}
}

type nowhereModel struct {
	bun.BaseModel `bun:"table:nowhere"`
	ID            int64 `bun:",pk"`
}

func (nowhereModel) BindKey() string { return "nowhere" }

type nowhereSoft struct {
	nowhereModel
	Shelf   *shelf `bun:"rel:belongs-to,join:shelf_id=id"`
	ShelfID int64
	Tags    []*tag `bun:"m2m:nowhere_tags,join:Nowhere=Tag"`
}

func TestUnknownBind(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	_, s := newSession(t, x)
	queries := append(everyQuery[nowhereModel]("nowhere"), queriesOf(new([]nowhereSoft))...)
	requireEach(t, x, s, queries, func(t *testing.T, err error) {
		t.Helper()
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, "nowhere", unknown.Key)
		require.EqualError(t, err, `echobun: no engine for bind "nowhere": add it to Config.Binds (known: default bind, bind "auth")`)
	})
}

func TestMissingDefaultBind(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}})
	require.Nil(t, x.Engine())
	require.Nil(t, x.Metadata())
	_, s := newSession(t, x)
	requireEach(t, x, s, everyQuery[book](echobun.DefaultBind), func(t *testing.T, err error) {
		t.Helper()
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, err, &unknown)
		require.Empty(t, unknown.Key)
		require.ErrorContains(t, err, "Config.DatabaseURI")
	})
}

func TestEndedAppContext(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	for bind, queries := range map[string][]failingRun{"": everyQuery[book](""), "auth": everyQuery[routedNote]("auth")} {
		ctx, end := x.AppContext(t.Context())
		s, err := x.Session(ctx)
		require.NoError(t, err)
		idb := s.Bind(bind) // Kept from before the end.
		end()
		requireEach(t, x, s, append(sendable(queries), sendable(idbQueries(func(*echobun.Session) bun.IDB { return idb }))...),
			func(t *testing.T, err error) {
				t.Helper()
				require.ErrorIs(t, err, echobun.ErrAppContextEnded)
				require.ErrorIs(t, err, echobun.ErrNoAppContext)
				require.ErrorContains(t, err, "Extension.AppContext(context.WithoutCancel(ctx))")
			})
	}
}

// sendable leaves out what fails on SQLite before it would be sent.
func sendable(queries []failingRun) []failingRun {
	var left []failingRun
	for _, q := range queries {
		switch q.name {
		case "merge", "by hand merge", "select with a relation", "deleted":
		default:
			left = append(left, q)
		}
	}
	return left
}

// TestBuilderMadeBeforeEnd makes builders, ends the app context and runs them then.
func TestBuilderMadeBeforeEnd(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	ctx, end := x.AppContext(t.Context())
	s, err := x.Session(ctx)
	require.NoError(t, err)

	sel, raw := s.NewSelect().Model(new([]book)), s.NewRaw("SELECT 1")
	ins, ddl := s.NewInsert().Model(&book{Title: "x"}), s.Bind("auth").NewCreateTable().Model((*book)(nil))
	end()
	for _, err := range []error{sel.Scan(ctx), raw.Scan(ctx, new(int)), ran(ins.Exec(ctx)), ran(ddl.Exec(ctx)), ran(sel.Count(ctx))} {
		require.ErrorIs(t, err, echobun.ErrAppContextEnded)
	}
	for _, engine := range x.Engines() {
		require.Zero(t, engine.Stats().OpenConnections)
	}
}

func TestClosedExtension(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth")
	x := newExtension(t, cfg)
	_, s := newSession(t, x)
	require.NoError(t, x.Close())
	requireEach(t, x, s, sendable(everyQuery[routedNote]("auth")), func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, echobun.ErrClosed)
	})
}

// TestFailingQueryHook uses a model's hook to get past the error, by the
// engine of the query that failed.
func TestFailingQueryHook(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t)
	x := newExtension(t, cfg)
	_, s := newSession(t, x)
	q := s.NewSelect().Model((*nowhereModel)(nil))
	require.NotPanics(t, func() {
		require.Error(t, q.DB().NewSelect().ColumnExpr("1").Scan(t.Context(), new(int)))
	})
	require.Equal(t, "nowhere", func() string {
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, q.Scan(t.Context()), &unknown)
		return unknown.Key
	}())
	require.NotNil(t, s.Bind("nowhere").Dialect())
}
