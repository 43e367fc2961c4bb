package echobun_test

import (
	"context"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
	"github.com/echobun/echobun/internal/hostile"
)

// hostileDatabases are those that the payloads are sent to.
var hostileDatabases = map[string]func(testing.TB) string{
	"PostgreSQL": databases["PostgreSQL"],
	"SQLite":     databases["SQLite"],
	"memory":     func(testing.TB) string { return "sqlite://" },
	"MariaDB":    databases["MariaDB"],
	"MariaDB, ANSI_QUOTES": func(tb testing.TB) string {
		tb.Helper()
		return dbtest.MariaDB(tb).URL() + "?sql_mode=ANSI_QUOTES"
	},
	"MariaDB, NO_BACKSLASH_ESCAPES": func(tb testing.TB) string {
		tb.Helper()
		return dbtest.MariaDB(tb).URL() + "?sql_mode=" + url.QueryEscape("ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES")
	},
}

// A hostileRow keeps a payload as text and as bytes.
type hostileRow struct {
	ID   int64  `bun:",pk"`
	Text string `bun:",notnull"`
	Blob []byte `bun:",notnull"`
}

// A canary sits in a table that the payloads want to harm.
type canary struct {
	bun.BaseModel `bun:"table:canary"`

	ID int64 `bun:",pk"`
}

func newCanary(t *testing.T, dsn string) (context.Context, *echobun.Extension, *echobun.Session) {
	t.Helper()
	rows := &echobun.Table{Name: "hostile_rows", Columns: []echobun.Column{
		{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
		{Name: "text", Type: echobun.Text, NotNull: true},
		{Name: "blob", Type: echobun.LargeBinary, NotNull: true},
	}}
	x := newExtension(t, echobun.Config{DatabaseURI: dsn}, (*canary)(nil), rows)
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	_, err := db.NewInsert().Model(&canary{ID: 1}).Exec(ctx)
	require.NoError(t, err)
	return ctx, x, db
}

// requireCanary requires that the canary is as it was.
func requireCanary(ctx context.Context, t *testing.T, db *echobun.Session) {
	t.Helper()
	var ids []int64
	require.NoError(t, db.NewSelect().Model((*canary)(nil)).Column("id").Scan(ctx, &ids))
	require.Equal(t, []int64{1}, ids, "GRAVE: the canary")
}

// Whatever is in an argument is stored and read as it is, and does nothing.
func TestHostileArguments(t *testing.T) {
	t.Parallel()
	for name, dsn := range hostileDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, x, db := newCanary(t, dsn(t))
			payloads := hostile.Payloads(t, hostile.Number(600))
			for i, payload := range payloads {
				storePayload(ctx, t, db, name, int64(i), payload)
			}
			requireStored(ctx, t, db, name, payloads)
			requireCanary(ctx, t, db)
			requireAtRest(t, x)
		})
	}
}

// storePayload writes a payload, finds the row by it, and changes it by it.
func storePayload(ctx context.Context, t *testing.T, db *echobun.Session, database string, id int64, payload string) {
	t.Helper()
	row := &hostileRow{ID: id, Text: payload, Blob: []byte(payload)}
	_, err := db.NewInsert().Model(row).Exec(ctx)
	if database == "PostgreSQL" && strings.Contains(payload, "\x00") {
		require.ErrorContains(t, err, "0x00", "PostgreSQL has no NUL in text, and says so: %q", payload)
		row.Text = ""
		_, err = db.NewInsert().Model(row).Exec(ctx)
		require.NoError(t, err, "%q", payload)
		return
	}
	require.NoError(t, err, "%q", payload)
	res, err := db.NewUpdate().Model((*hostileRow)(nil)).Set("text = ?", payload).
		Where("text = ? AND id = ?", payload, id).Where("? <> 'x'", payload+"y").Exec(ctx)
	require.NoError(t, err, "%q", payload)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "%q", payload)
}

func requireStored(ctx context.Context, t *testing.T, db *echobun.Session, database string, payloads []string) {
	t.Helper()
	var rows []hostileRow
	require.NoError(t, db.NewSelect().Model(&rows).Order("id").Scan(ctx))
	require.Len(t, rows, len(payloads))
	for i, payload := range payloads {
		require.Equal(t, []byte(payload), rows[i].Blob, "%q", payload)
		if database == "PostgreSQL" && strings.Contains(payload, "\x00") {
			payload = "" // As it was stored.
		}
		require.Equal(t, payload, rows[i].Text)
	}
}

// validName is what a name may be.
var validName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]{0,62}$`)

// validNames reports whether names may be those of a schema, a table and a column.
func validNames(names []string) bool {
	return len(names) <= 3 && !slices.ContainsFunc(names, func(name string) bool { return !validName.MatchString(name) })
}

// As a name, a payload is refused before anything is sent, or names just what
// it says. So it does where Bun quotes it.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for name, dsn := range hostileDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, x, db := newCanary(t, dsn(t))
			payloads := hostile.Payloads(t, hostile.Number(600))
			for i, payload := range payloads {
				requireNamesRefused(t, x, payload)
				if i%10 == 0 {
					requireIdentQuoted(ctx, t, db, payload)
				}
			}
			requireCanary(ctx, t, db)
			requireAtRest(t, x)
			require.NoError(t, x.DropAll(ctx))
		})
	}
}

// requireNamesRefused uses a payload as each name that a Table has.
func requireNamesRefused(t *testing.T, x *echobun.Extension, payload string) {
	t.Helper()
	column := echobun.Column{Name: "id", Type: echobun.Integer}
	for what, table := range map[string]*echobun.Table{
		"table":  {Name: payload, Columns: []echobun.Column{column}},
		"schema": {Name: "t", Schema: payload, Columns: []echobun.Column{column}},
		"column": {Name: "t", Columns: []echobun.Column{{Name: payload, Type: echobun.Integer}}},
		"index":  {Name: "t", Columns: []echobun.Column{column}, Indexes: []echobun.Index{{Name: payload, Columns: []string{"id"}}}},
		"key":    {Name: "t", Columns: []echobun.Column{column}, Indexes: []echobun.Index{{Columns: []string{payload}}}},
		"parent": {Name: "t", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer, References: payload}}},
		"bind":   {Name: "t", BindKey: payload, Columns: []echobun.Column{column}},
	} {
		if payload == "" || validNames(strings.Split(payload, ".")) {
			continue // FuzzNames makes such tables.
		}
		err := x.Register(table)
		var refused *echobun.ModelError
		require.ErrorAs(t, err, &refused, "%s %q", what, payload)
		require.NotContains(t, err.Error(), "\x00")
	}
}

// requireIdentQuoted uses a payload where Bun quotes names.
func requireIdentQuoted(ctx context.Context, t *testing.T, db *echobun.Session, payload string) {
	t.Helper()
	rows, err := db.Bind("").NewSelect().ColumnExpr("1 AS ?", bun.Name(payload)).Rows(ctx)
	if err != nil {
		return // The database does not take it for a name: a NUL, or too long.
	}
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	require.NoError(t, rows.Err())
	require.Len(t, columns, 1, "%q", payload)
	if len(payload) <= 63 {
		// MariaDB takes blanks and control characters off the front.
		require.True(t, strings.HasSuffix(strings.TrimSpace(payload), strings.TrimSpace(columns[0])), "%q became %q", payload, columns[0])
	}
}

// Bind keys are nothing but keys: each is its own, look-alikes too, and one
// that is not known is refused.
func TestHostileBindKeys(t *testing.T) {
	t.Parallel()
	keys := slices.Compact(slices.Sorted(slices.Values(append(hostile.Payloads(t, 60), "auth", "аuth", "auth ", "Auth", "ａuth"))))
	cfg := echobun.Config{DatabaseURI: "sqlite://", Binds: echobun.Binds{}}
	for _, key := range keys {
		alone, err := echobun.New(echobun.Config{Binds: echobun.Binds{key: {URL: "sqlite://"}}})
		if err != nil { // Too long, a control character, a space around it.
			require.ErrorAs(t, err, new(*echobun.ConfigError), "%q", key)
			require.NotContains(t, err.Error(), "\n", "%q", key)
			continue
		}
		require.NoError(t, alone.Close())
		cfg.Binds[key] = echobun.EngineOptions{URL: "sqlite://"}
	}
	delete(cfg.Binds, "")
	x := newExtension(t, cfg)
	ctx, db := newSession(t, x)
	for key := range cfg.Binds {
		require.NoError(t, x.Register(&echobun.Table{Name: "own", BindKey: key, Columns: []echobun.Column{{Name: "id", Type: echobun.Integer}}}))
	}
	require.NoError(t, x.CreateAll(ctx))
	for i, key := range slices.Sorted(maps.Keys(cfg.Binds)) {
		_, err := db.Bind(key).ExecContext(ctx, "INSERT INTO own VALUES (?)", i)
		require.NoError(t, err)
	}
	for i, key := range slices.Sorted(maps.Keys(cfg.Binds)) {
		var ids []int
		require.NoError(t, db.Bind(key).NewRaw("SELECT id FROM own").Scan(ctx, &ids))
		require.Equal(t, []int{i}, ids, "%q", key)
	}
	for _, key := range []string{"authʼ", "AUTH", "auth\x00", "' OR 1 = 1", strings.Repeat("k", 1<<20)} {
		_, err := db.Bind(key).ExecContext(ctx, "DELETE FROM own")
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, key, unknown.Key)
	}
	requireAtRest(t, x)
}

// The id of a prepared transaction is refused if it could be more than that.
func TestHostileTransactionIDs(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PostgreSQL", "MariaDB"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, x, db := newCanary(t, databases[kind](t))
			drv, ok := driver.Drivers()[map[string]string{"PostgreSQL": "postgresql", "MariaDB": "mysql"}[kind]].(driver.TwoPhase)
			require.True(t, ok)
			conn, err := x.Engine().Conn(ctx)
			require.NoError(t, err)
			for _, payload := range hostile.Payloads(t, 300) {
				if strings.Trim(payload, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-~@") == "" && payload != "" {
					continue
				}
				require.ErrorContains(t, drv.CommitPrepared(ctx, conn, payload), "cannot be the ID")
				require.ErrorContains(t, drv.RollbackPrepared(ctx, conn, payload), "cannot be the ID")
			}
			require.NoError(t, conn.Close())
			requireCanary(ctx, t, db)
			requireAtRest(t, x)
		})
	}
}
