package echobun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	goccy "github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// originalConfigs is the configuration of the original's example in each form
// in which it can be written, on servers of the test's own databases.
func originalConfigs(postgres, mysql, sqlite string) map[string]func(t *testing.T) echobun.Config {
	text := func(form string) string { return fmt.Sprintf(form, postgres, sqlite, mysql) }
	jsonText := text(`{"SQLALCHEMY_DATABASE_URI": %q, "SQLALCHEMY_BINDS": {"meta": %q, "auth": {"url": %q, "pool_recycle": 3600}}}`)
	yamlText := text(`
SQLALCHEMY_DATABASE_URI: %q
SQLALCHEMY_BINDS:
  meta: %q
  auth:
    url: %q
    pool_recycle: 3600
`)
	read := func(text string, unmarshal func([]byte, any) error) func(*testing.T) echobun.Config {
		return func(t *testing.T) echobun.Config {
			t.Helper()
			var cfg echobun.Config
			require.NoError(t, unmarshal([]byte(text), &cfg))
			return cfg
		}
	}
	return map[string]func(*testing.T) echobun.Config{
		"Go": func(*testing.T) echobun.Config {
			return echobun.Config{
				DatabaseURI: postgres,
				Binds: echobun.Binds{
					"meta": {URL: sqlite},
					"auth": {URL: mysql, ConnMaxLifetime: 3600 * time.Second},
				},
			}
		},
		"JSON":       read(jsonText, json.Unmarshal),
		"YAML":       read(yamlText, yaml.Unmarshal),
		"YAML goccy": read(yamlText, func(b []byte, v any) error { return goccy.Unmarshal(b, v) }),
	}
}

// originalModels are the declarations of the original's example: a model on
// each bind, and a table without one on "auth".
func originalModels() []any {
	type Post struct {
		ID    int64 `bun:",pk,autoincrement"`
		Title string
	}
	type User struct {
		bun.BaseModel `bun:"table:users"`
		authModel
		ID   int64  `bun:",pk,autoincrement"`
		Name string `bun:",notnull"`
	}
	type Hit struct {
		metaModel
		ID   int64 `bun:",pk,autoincrement"`
		Path string
	}
	return []any{(*Post)(nil), (*User)(nil), (*Hit)(nil), &echobun.Table{
		Name:    "audit_log",
		BindKey: "auth",
		Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
			{Name: "user_id", Type: echobun.BigInteger, NotNull: true, References: "users.id"},
			{Name: "action", Type: echobun.String(80), NotNull: true},
			{Name: "at", Type: echobun.DateTime, NotNull: true, Default: "CURRENT_TIMESTAMP"},
		},
		Indexes: []echobun.Index{{Columns: []string{"user_id", "at"}}},
	}}
}

func TestOriginalExample(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Go", "JSON", "YAML", "YAML goccy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			configs := originalConfigs(dbtest.Postgres(t).URL(), dbtest.MariaDB(t).URL(), sqliteURL(t))
			x := newExtension(t, configs[name](t), originalModels()...)

			keys := []string{"", "auth", "meta"}
			require.Equal(t, keys, slices.Sorted(maps.Keys(x.Engines())))
			require.Equal(t, keys, slices.Sorted(maps.Keys(x.Metadatas())))
			require.Same(t, x.Engines()[""], x.Engine())
			require.Same(t, x.Metadatas()[""], x.Metadata())
			originalStory(t, x)
		})
	}
}

// originalStory does what the original's page shows and looks at the
// databases after each step.
func originalStory(t *testing.T, x *echobun.Extension) {
	t.Helper()
	expect := func(posts, auth, meta []string) {
		t.Helper()
		for key, want := range map[string][]string{"": posts, "auth": auth, "meta": meta} {
			require.Equal(t, want, catalogueOf(t, x.Engines(), key).tables(), "bind %q", key)
		}
	}
	none, posts, auth, meta := []string{}, []string{"posts"}, []string{"audit_log", "users"}, []string{"hits"}
	ctx, _ := newSession(t, x)

	expect(none, none, none)
	require.NoError(t, x.CreateAll(ctx))
	expect(posts, auth, meta)
	require.NoError(t, x.CreateAll(ctx), "twice is fine")
	expect(posts, auth, meta)

	require.NoError(t, x.DropAll(ctx))
	expect(none, none, none)
	require.NoError(t, x.DropAll(ctx), "twice is fine")

	require.NoError(t, x.CreateAll(ctx, echobun.DefaultBind, "auth"))
	expect(posts, auth, none)
	require.NoError(t, x.CreateAll(ctx, "meta"))
	expect(posts, auth, meta)
	require.NoError(t, x.DropAll(ctx, echobun.DefaultBind))
	expect(none, auth, meta)

	cat := catalogueOf(t, x.Engines(), "auth")
	require.Equal(t, []string{"user_id > users(id)"}, cat.foreignKeys("audit_log"))
	require.Equal(t, []string{"ix_audit_log_user_id_at(user_id,at)"}, cat.indexes("audit_log"))
}

func TestCreateAllOutsideAppContext(t *testing.T) {
	t.Parallel()
	cfg := echobun.Config{DatabaseURI: sqliteURL(t)}
	type Post struct{ ID int64 }
	x, other := newExtension(t, cfg, (*Post)(nil)), newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)})
	foreign, _ := newSession(t, other)
	ended, end := x.AppContext(t.Context())
	end()

	for _, tt := range []struct {
		name string
		ctx  context.Context
		want error
	}{
		{"None", t.Context(), echobun.ErrNoAppContext},
		{"OtherExtension", foreign, echobun.ErrNoAppContext},
		{"Ended", ended, echobun.ErrAppContextEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, do := range []func(context.Context, ...string) error{x.CreateAll, x.DropAll} {
				for _, keys := range [][]string{nil, {}, {echobun.DefaultBind}, {"nope"}} {
					require.ErrorIs(t, do(tt.ctx, keys...), tt.want)
				}
			}
			require.Empty(t, catalogueOf(t, x.Engines(), "").tables())
		})
	}
}

// TestBindKeysOfCreateAll is about the keys alone, so SQLite is enough.
func TestBindKeysOfCreateAll(t *testing.T) {
	t.Parallel()
	type Post struct{ ID int64 }
	type User struct {
		authModel
		ID int64
	}
	for _, tt := range []struct {
		name  string
		keys  []string
		wants map[string][]string
	}{
		{"None", nil, map[string][]string{"": {"posts"}, "auth": {"users"}, "empty": {}}},
		{"EmptySlice", []string{}, map[string][]string{"": {}, "auth": {}, "empty": {}}},
		{"Twice", []string{"auth", "auth"}, map[string][]string{"": {}, "auth": {"users"}, "empty": {}}},
		{"Default", []string{echobun.DefaultBind}, map[string][]string{"": {"posts"}, "auth": {}, "empty": {}}},
		{"NothingDeclared", []string{"empty"}, map[string][]string{"": {}, "auth": {}, "empty": {}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{
				DatabaseURI: sqliteURL(t),
				Binds:       echobun.Binds{"auth": {URL: sqliteURL(t)}, "empty": {URL: sqliteURL(t)}},
			}, (*Post)(nil), (*User)(nil))
			ctx, _ := newSession(t, x)
			require.NoError(t, x.CreateAll(ctx, tt.keys...))
			for key, want := range tt.wants {
				require.Equal(t, want, catalogueOf(t, x.Engines(), key).tables(), "bind %q", key)
			}
			require.NoError(t, x.DropAll(ctx, tt.keys...))
			for key := range tt.wants {
				require.Empty(t, catalogueOf(t, x.Engines(), key).tables(), "bind %q", key)
			}
		})
	}
}

func TestBadKeysOfCreateAll(t *testing.T) {
	t.Parallel()
	type Post struct{ ID int64 }
	type User struct {
		authModel
		ID int64
	}
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t),
		Binds:       echobun.Binds{"auth": {URL: sqliteURL(t), Unmanaged: true}},
	}, (*Post)(nil), (*User)(nil))
	ctx, _ := newSession(t, x)

	for name, do := range map[string]func(context.Context, ...string) error{"CreateAll": x.CreateAll, "DropAll": x.DropAll} {
		// Keys are looked at before the first statement: nothing may be made.
		err := do(ctx, echobun.DefaultBind, "nope")
		var unknown *echobun.UnknownBindError
		require.ErrorAs(t, err, &unknown, name)
		require.Equal(t, &echobun.UnknownBindError{Key: "nope", Known: []string{"", "auth"}}, unknown)
		require.ErrorContains(t, err, `no engine for bind "nope": add it to Config.Binds (known: default bind, bind "auth")`)

		err = do(ctx, echobun.DefaultBind, "auth")
		var config *echobun.ConfigError
		require.ErrorAs(t, err, &config, name)
		require.Equal(t, "auth", config.Bind)
		require.Equal(t, "Unmanaged", config.Field)
		require.Empty(t, catalogueOf(t, x.Engines(), "").tables(), name)

		err = do(ctx, "auth", "nope")
		require.ErrorAs(t, err, &unknown, "both faults are told")
		require.ErrorAs(t, err, &config, "both faults are told")
	}

	require.NoError(t, x.CreateAll(ctx))
	require.Equal(t, []string{"posts"}, catalogueOf(t, x.Engines(), "").tables())
	require.Empty(t, catalogueOf(t, x.Engines(), "auth").tables(), "without keys, what is unmanaged is left alone")
}

// A model without an engine for its bind can't be registered, so without a
// default bind there is nothing of it to create, unlike with the original.
func TestCreateAllWithoutDefaultBind(t *testing.T) {
	t.Parallel()
	type User struct {
		authModel
		ID int64
	}
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}}, (*User)(nil))
	ctx, _ := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	require.Equal(t, []string{"users"}, catalogueOf(t, x.Engines(), "auth").tables())

	err := x.CreateAll(ctx, echobun.DefaultBind)
	var unknown *echobun.UnknownBindError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "no engine for the default bind: set Config.DatabaseURI")
}

func TestCreateAllNeverAlters(t *testing.T) {
	t.Parallel()
	table := func() *echobun.Table {
		return &echobun.Table{Name: "notes", Columns: []echobun.Column{
			{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
			{Name: "added", Type: echobun.Text, NotNull: true, Unique: false},
		}}
	}
	perDatabase(t, []any{table()}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		cat := catalogueOf(t, x.Engines(), "")
		cat.exec("CREATE TABLE notes (id INTEGER PRIMARY KEY, body VARCHAR(20))")
		cat.exec("INSERT INTO notes VALUES (1, 'kept')")
		before := cat.columns("notes")

		ctx, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		require.Equal(t, before, cat.columns("notes"))
		require.Equal(t, 1, cat.count("notes"))
	})
}

// DropAll drops what is declared and nothing else, and children first.
func TestDropAllKeepsTheRest(t *testing.T) {
	t.Parallel()
	models := []any{
		&echobun.Table{Name: "children", Columns: []echobun.Column{
			{Name: "id", Type: echobun.Integer, PrimaryKey: true},
			{Name: "parent_id", Type: echobun.Integer, References: "parents.id"},
		}},
		&echobun.Table{Name: "parents", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer, PrimaryKey: true}}},
	}
	perDatabase(t, models, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		cat := catalogueOf(t, x.Engines(), "")
		cat.exec("CREATE TABLE bystander (id INTEGER PRIMARY KEY)")
		ctx, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		cat.exec("INSERT INTO parents VALUES (1)")
		cat.exec("INSERT INTO children VALUES (1, 1)")
		require.Equal(t, []string{"bystander", "children", "parents"}, cat.tables())

		require.NoError(t, x.DropAll(ctx))
		require.Equal(t, []string{"bystander"}, cat.tables())
	})
}

// A table that is not declared and refers to one that is would lose its
// parent: that is an error, and on no database anything is dropped.
func TestDropAllWithUndeclaredChild(t *testing.T) {
	t.Parallel()
	models := []any{
		&echobun.Table{Name: "other", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer, PrimaryKey: true}}},
		&echobun.Table{Name: "parents", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer, PrimaryKey: true}}},
	}
	perDatabase(t, models, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, _ := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		cat := catalogueOf(t, x.Engines(), "")
		cat.exec("CREATE TABLE undeclared (id INTEGER PRIMARY KEY, parent_id INTEGER, FOREIGN KEY (parent_id) REFERENCES parents (id))")

		err := x.DropAll(ctx)
		var bind *echobun.BindError
		require.ErrorAs(t, err, &bind)
		require.Equal(t, echobun.DefaultBind, bind.Bind)
		require.Equal(t, "DROP TABLE", bind.Op)
		if pg := new(pgconn.PgError); errors.As(err, &pg) {
			require.Contains(t, pg.Detail, "on table undeclared depends on table parents")
		} else {
			require.ErrorContains(t, err, `table "undeclared"`)
		}
		require.Equal(t, []string{"other", "parents", "undeclared"}, cat.tables())
	})
}
