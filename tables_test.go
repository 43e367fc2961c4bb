package echobun_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun"
)

func auditLog(bind string) *echobun.Table {
	return &echobun.Table{
		Name: "audit_log", BindKey: bind,
		Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
			{Name: "user_id", Type: echobun.BigInteger, NotNull: true},
			{Name: "action", Type: echobun.String(80), NotNull: true},
		},
		Indexes: []echobun.Index{{Columns: []string{"user_id", "action"}, Unique: true}},
	}
}

// withAuditLog runs a test with a Table on each database.
func withAuditLog(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *echobun.Table)) {
	t.Helper()
	perDatabase(t, nil, func(t *testing.T, x *echobun.Extension) {
		log := auditLog(echobun.DefaultBind)
		require.NoError(t, x.Register(log))
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for i, action := range []string{"login", "post", "logout"} {
			row := map[string]any{"user_id": i, "action": action}
			_, err := db.NewInsert().Table(log).Model(&row).Exec(ctx)
			require.NoError(t, err)
		}
		run(ctx, t, x, db, log)
	})
}

func TestTableRows(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		var rows []map[string]any
		require.NoError(t, db.NewSelect().Table(log).Where("user_id > ?", 0).Order("id").Scan(ctx, &rows))
		require.Len(t, rows, 2)
		require.EqualValues(t, "post", rows[0]["action"])
		require.EqualValues(t, 2, rows[0]["id"])

		row := map[string]any{}
		require.NoError(t, db.NewSelect().Table(log).Model(&row).Where("action = ?", "login").Scan(ctx))
		require.EqualValues(t, 0, row["user_id"])

		n, err := db.NewSelect().Table(log).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		exists, err := db.NewSelect().Table(log).Where("action = 'fly'").Exists(ctx)
		require.NoError(t, err)
		require.False(t, exists)
		var actions []string
		require.NoError(t, db.NewSelect().Table(log).Column("action").Order("action").Scan(ctx, &actions))
		require.Equal(t, []string{"login", "logout", "post"}, actions)

		if x.Engine().Dialect().Name() != dialect.MySQL {
			row = map[string]any{"user_id": 9, "action": "back"}
			_, err = db.NewInsert().Table(log).Model(&row).Returning("id, action").Exec(ctx)
			require.NoError(t, err)
		}
	})
}

func TestTableChanges(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		count := func(where string) int64 {
			n, err := db.NewSelect().Table(log).Where(where).Count(ctx)
			require.NoError(t, err)
			return n
		}
		_, err := db.NewUpdate().Table(log).Set("action = ?", "read").Where("user_id = 1").Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, count("action = 'read'"))
		_, err = db.NewUpdate().Table(log).Model(&map[string]any{"action": "write"}).Where("user_id = 1").Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, count("action = 'write'"))

		_, err = db.NewInsert().Table(log).Model(&map[string]any{"user_id": 1, "action": "write"}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		_, err = db.NewInsert().Table(log).Model(&map[string]any{"user_id": nil, "action": "x"}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrNotNull)

		_, err = db.NewDelete().Table(log).Where("user_id = 1").Exec(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, count("1 = 1"))
		_, err = db.NewTruncateTable().Table(log).Exec(ctx)
		require.NoError(t, err)
		require.Zero(t, count("1 = 1"))
		require.NotEmpty(t, columnNames(ctx, t, db.For(log), "audit_log"))
		_, err = db.NewDropTable().Table(log).Exec(ctx)
		require.NoError(t, err)
		require.Empty(t, columnNames(ctx, t, db.For(log), "audit_log"))
		_, err = db.NewDropTable().Table(log).IfExists().Exec(ctx)
		require.NoError(t, err)
	})
}

func TestTableUpsert(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		q := db.NewInsert().Table(log).Model(&map[string]any{"user_id": 1, "action": "post"})
		if x.Engine().Dialect().Name() == dialect.MySQL {
			q = q.On("DUPLICATE KEY UPDATE").Set("user_id = 100")
		} else {
			q = q.On("CONFLICT (user_id, action) DO UPDATE").Set("user_id = 100")
		}
		_, err := q.Exec(ctx)
		require.NoError(t, err)
		n, err := db.NewSelect().Table(log).Where("user_id = 100").Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

// TestTableRefused pins what Bun refuses of maps: an error, nothing sent.
func TestTableRefused(t *testing.T) {
	t.Parallel()
	withAuditLog(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session, log *echobun.Table) {
		row := map[string]any{"user_id": 1, "action": "x"}
		for name, run := range map[string]func() error{
			"bulk insert": func() error {
				_, err := db.NewInsert().Table(log).Model(&[]map[string]any{row, row}).Exec(ctx)
				return err
			},
			"WherePK on a map": func() error {
				return db.NewSelect().Table(log).Model(&row).WherePK().Scan(ctx)
			},
			"update WherePK on a map": func() error {
				_, err := db.NewUpdate().Table(log).Model(&row).WherePK().Exec(ctx)
				return err
			},
			"delete WherePK on a map": func() error {
				_, err := db.NewDelete().Table(log).Model(&row).WherePK().Exec(ctx)
				return err
			},
			"select without a destination": func() error { return db.NewSelect().Table(log).Scan(ctx) },
			"update without a condition": func() error {
				_, err := db.NewUpdate().Table(log).Set("action = 'x'").Exec(ctx)
				return err
			},
			"delete without a condition": func() error { _, err := db.NewDelete().Table(log).Exec(ctx); return err },
		} {
			require.NotPanics(t, func() { require.Error(t, run(), name) }, name)
		}
		n, err := db.NewSelect().Table(log).Where("action <> 'x'").Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
	})
}

// TestTableOnOtherBuilders asserts that what does not work with a Table says so.
func TestTableOnOtherBuilders(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth")
	log := auditLog("auth")
	ctx, db := newSession(t, newExtension(t, cfg, log))
	for name, run := range map[string]func() error{
		"create table": func() error { _, err := db.NewCreateTable().Table(log).IfNotExists().Exec(ctx); return err },
		"create index": func() error {
			_, err := db.NewCreateIndex().Table(log).Index("ix").Column("action").Exec(ctx)
			return err
		},
		"add column":  func() error { _, err := db.NewAddColumn().Table(log).ColumnExpr("x int").Exec(ctx); return err },
		"drop column": func() error { _, err := db.NewDropColumn().Table(log).Column("x").Exec(ctx); return err },
		"merge":       func() error { _, err := db.NewMerge().Table(log).Using("x").On("y").Exec(ctx); return err },
	} {
		err := run()
		var modelErr *echobun.ModelError
		require.ErrorAs(t, err, &modelErr, name)
		require.Equal(t, "audit_log", modelErr.Model)
		require.Equal(t, "auth", modelErr.Bind)
		require.ErrorContains(t, err, `audit_log on bind "auth"`)
		require.ErrorContains(t, err, "use Bind or For, or declare a struct")
	}
	for _, h := range hooks {
		require.Empty(t, h.take())
	}
}

// TestTableAsModel gives a Table where a model belongs.
func TestTableAsModel(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth")
	log := auditLog("auth")
	ctx, db := newSession(t, newExtension(t, cfg, log))
	for _, model := range []any{log, *log, &[]echobun.Table{}} {
		var modelErr *echobun.ModelError
		err := db.NewSelect().Model(model).Scan(ctx)
		require.ErrorAs(t, err, &modelErr)
		require.ErrorContains(t, err, "use the builder's Table method")
	}
	var modelErr *echobun.ModelError
	require.ErrorAs(t, db.NewSelect().Table(nil).Scan(ctx), &modelErr)
	for _, h := range hooks {
		require.Empty(t, h.take())
	}
}

// TestTableIsReadWhenRegistered changes a Table afterwards, and what Metadata
// gives out.
func TestTableIsReadWhenRegistered(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth", "meta")
	log := auditLog("auth")
	x := newExtension(t, cfg, log)
	ctx, db := newSession(t, x)

	log.Name, log.BindKey, log.Columns[0].Name = "moved", "meta", "gone"
	log.Indexes[0].Columns[0] = "gone"
	require.NoError(t, x.CreateAll(ctx))
	require.Equal(t, []string{"id", "user_id", "action"}, columnNames(ctx, t, db.Bind("auth"), "audit_log"))

	copied, ok := x.Metadatas()["auth"].Table("audit_log")
	require.True(t, ok)
	require.Equal(t, auditLog("auth").Columns, copied.Columns)
	copied.Name, copied.BindKey = "moved", "meta"
	copied.Columns[0].Name = "gone"
	byValue := *copied

	for _, table := range []*echobun.Table{log, copied, &byValue, x.Metadatas()["auth"].Tables()[0]} {
		hooks["auth"].take()
		_, err := db.NewInsert().Table(table).Model(&map[string]any{"user_id": 1, "action": table.Columns[0].Name}).Exec(ctx)
		if err != nil {
			require.ErrorIs(t, err, echobun.ErrUnique)
		}
		sent := hooks["auth"].take()
		require.Len(t, sent, 1)
		require.Contains(t, sent[0], `INSERT INTO "audit_log"`)
	}
	require.Empty(t, hooks["meta"].take())
	again, _ := x.Metadatas()["auth"].Table("audit_log")
	require.Equal(t, auditLog("auth").Columns, again.Columns)
}

// TestUnregisteredTable uses Tables that nobody registered.
func TestUnregisteredTable(t *testing.T) {
	t.Parallel()
	cfg, hooks := sqliteBinds(t, "auth")
	ctx, db := newSession(t, newExtension(t, cfg))
	_, err := db.Bind("auth").ExecContext(ctx, "CREATE TABLE audit_log (id integer)")
	require.NoError(t, err)
	_, err = db.NewInsert().Table(auditLog("auth")).Model(&map[string]any{"id": 1}).Exec(ctx)
	require.NoError(t, err)
	n, err := db.NewSelect().Table(&echobun.Table{Name: "audit_log", Schema: "main", BindKey: "auth"}).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = db.For(*auditLog("auth")).ExecContext(ctx, "SELECT 1")
	require.NoError(t, err)
	require.Len(t, hooks["auth"].take(), 4)

	for name, text := range map[string]string{
		`a"; DROP TABLE audit_log; --`: "only letters", "": "without a name", strings.Repeat("n", 64): "64 bytes", "1st": "no digit",
	} {
		var modelErr *echobun.ModelError
		_, err = db.NewDelete().Table(&echobun.Table{Name: name, BindKey: "auth"}).Where("1 = 1").Exec(ctx)
		require.ErrorAs(t, err, &modelErr)
		require.ErrorContains(t, err, text)
	}
	var unknown *echobun.UnknownBindError
	require.ErrorAs(t, db.NewSelect().Table(auditLog("nowhere")).Scan(ctx), &unknown)
	require.Empty(t, hooks["auth"].take())
}

func TestTableFaults(t *testing.T) {
	t.Parallel()
	column := func(c echobun.Column) *echobun.Table {
		return &echobun.Table{Name: "t", BindKey: "auth", Columns: []echobun.Column{c}}
	}
	id := echobun.Column{Name: "id", Type: echobun.BigInteger, PrimaryKey: true}
	with := func(ix ...echobun.Index) *echobun.Table {
		return &echobun.Table{Name: "t", BindKey: "auth", Columns: []echobun.Column{id}, Indexes: ix}
	}
	for _, tc := range []struct {
		name  string
		table *echobun.Table
		text  string
	}{
		{"no name", &echobun.Table{BindKey: "auth", Columns: []echobun.Column{id}}, "table without a name"},
		{"bad name", &echobun.Table{Name: "a b", BindKey: "auth", Columns: []echobun.Column{id}}, `table name "a b": use only letters`},
		{"bad schema", &echobun.Table{Name: "t", Schema: "a.b", BindKey: "auth", Columns: []echobun.Column{id}}, `schema name "a.b"`},
		{"name with a leading dot", &echobun.Table{Name: ".t", BindKey: "auth", Columns: []echobun.Column{id}}, `table name ".t"`},
		{"name with a final dot", &echobun.Table{Name: "t.", BindKey: "auth", Columns: []echobun.Column{id}}, `table name "t."`},
		{"schema of a dot", &echobun.Table{Name: "t", Schema: ".", BindKey: "auth", Columns: []echobun.Column{id}}, `schema name "."`},
		{"column with a leading dot", column(echobun.Column{Name: ".a", Type: echobun.Text}), `column name ".a"`},
		{"index with a leading dot", with(echobun.Index{Name: ".i", Columns: []string{"id"}}), `index name ".i"`},
		{"no columns", &echobun.Table{Name: "t", BindKey: "auth"}, "no columns"},
		{"column twice", &echobun.Table{Name: "t", BindKey: "auth", Columns: []echobun.Column{id, {Name: "ID", Type: echobun.Text}}}, `column "ID" stands there twice`},
		{"two counters", &echobun.Table{Name: "t", BindKey: "auth", Columns: []echobun.Column{
			{Name: "a", Type: echobun.Integer, PrimaryKey: true, AutoIncrement: true},
			{Name: "b", Type: echobun.Integer, PrimaryKey: true, AutoIncrement: true},
		}}, "more than one column with AutoIncrement"},
		{"column without a name", column(echobun.Column{Type: echobun.Text}), "column without a name"},
		{"bad column name", column(echobun.Column{Name: "a,b", Type: echobun.Text}), `column name "a,b"`},
		{"no type", column(echobun.Column{Name: "a"}), `column "a" has no Type`},
		{"string of no length", column(echobun.Column{Name: "a", Type: echobun.String(0)}), `column "a": varchar(0) is no type`},
		{"number of no size", column(echobun.Column{Name: "a", Type: echobun.Numeric(2, 3)}), `column "a": numeric(2,3) is no type`},
		{"blank SQL type", column(echobun.Column{Name: "a", Type: echobun.SQL(" ")}), `column "a"`},
		{"counted text", column(echobun.Column{Name: "a", Type: echobun.Text, PrimaryKey: true, AutoIncrement: true}), "AutoIncrement needs SmallInteger, Integer or BigInteger and not text"},
		{"counter without key", column(echobun.Column{Name: "a", Type: echobun.Integer, AutoIncrement: true}), "AutoIncrement needs PrimaryKey"},
		{"reference to a table", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "users"}), `References "users" is not "table.column"`},
		{"reference to nothing", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "."}), `References "." is not "table.column"`},
		{"reference into the empty schema", column(echobun.Column{Name: "a", Type: echobun.Integer, References: ".u.id"}), `References ".u.id" is not "table.column": schema without a name`},
		{"reference into an empty schema of a schema", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "..u.id"}), `schema name "."`},
		{"reference to an empty table", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "s..id"}), "table without a name"},
		{"reference to an empty column", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "s.u."}), "column without a name"},
		{"reference with SQL", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "u.id) --"}), `column name "id) --"`},
		{"reference to a bad schema", column(echobun.Column{Name: "a", Type: echobun.Integer, References: "a b.u.id"}), `schema name "a b"`},
		{"index without columns", with(echobun.Index{Name: "ix"}), `index "ix" has no columns`},
		{"index on nothing", with(echobun.Index{Columns: []string{"b"}}), `index "ix_t_b": the table has no column "b"`},
		{"bad index name", with(echobun.Index{Name: "i x", Columns: []string{"id"}}), `index name "i x"`},
		{"index twice", with(echobun.Index{Columns: []string{"id"}}, echobun.Index{Name: "IX_t_id", Columns: []string{"id"}}), `index "IX_t_id" stands there twice`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg, hooks := sqliteBinds(t, "auth")
			x := newExtension(t, cfg)
			err := x.Register(tc.table)
			faults := modelErrors(t, err)
			require.Len(t, faults, 1, "%v", err)
			require.Equal(t, "auth", faults[0].Bind)
			require.ErrorContains(t, err, tc.text)
			requireNothing(t, x, hooks)
		})
	}
}

func TestLongIndexName(t *testing.T) {
	t.Parallel()
	table := auditLog("")
	table.Name = strings.Repeat("long_", 12)
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, table)
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	var name string
	require.NoError(t, db.NewRaw("SELECT name FROM sqlite_master WHERE type = 'index'").Scan(ctx, &name))
	require.Len(t, name, 63)
	require.True(t, strings.HasPrefix(name, "ix_long_long_"))
}

func TestTypeString(t *testing.T) {
	t.Parallel()
	for want, typ := range map[string]echobun.Type{
		"biginteger": echobun.BigInteger, "text": echobun.Text, "varchar(3)": echobun.String(3),
		"numeric(5,2)": echobun.Numeric(5, 2), "citext": echobun.SQL("citext"), "": {},
	} {
		require.Equal(t, want, typ.String())
	}
}

func TestMetadataTable(t *testing.T) {
	t.Parallel()
	cfg, _ := sqliteBinds(t, "auth", "meta")
	x := newExtension(t, cfg, libraryModels()...)
	metadata := x.Metadatas()["auth"]
	require.Equal(t, "auth", metadata.BindKey())
	require.Empty(t, x.Metadata().Tables())

	position := make(map[string]int)
	for i, table := range metadata.Tables() {
		require.Equal(t, "auth", table.BindKey)
		position[table.Name] = i
	}
	require.Len(t, position, 5)
	for child, parents := range map[string][]string{
		"labels": {"shelves"}, "novels": {"shelves"}, "novels_tags": {"novels", "tags"},
	} {
		for _, parent := range parents {
			require.Less(t, position[parent], position[child], "%s before %s", parent, child)
		}
	}

	table, ok := metadata.Table("SHELVES")
	require.True(t, ok, "SQLite does not tell upper from lower case")
	require.Equal(t, "shelves", table.Name)
	require.Equal(t, echobun.Column{Name: "id", Type: echobun.SQL("INTEGER"), PrimaryKey: true, AutoIncrement: true, NotNull: true}, table.Columns[0])
	_, ok = metadata.Table("hits")
	require.False(t, ok)
}
