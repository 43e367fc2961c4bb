package echobun_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// sentHook keeps the statements that Bun's hooks see, of one bind.
type sentHook struct {
	mu   sync.Mutex
	sent []string
}

func (*sentHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (h *sentHook) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = append(h.sent, event.Query)
}

// take returns what was sent since the last call.
func (h *sentHook) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := h.sent
	h.sent = nil
	return sent
}

// sqliteBinds returns a configuration with a SQLite file and a hook for each
// of the default bind and the given ones.
func sqliteBinds(tb testing.TB, keys ...string) (echobun.Config, map[string]*sentHook) {
	tb.Helper()
	hooks := map[string]*sentHook{"": {}}
	cfg := echobun.Config{
		DatabaseURI:   sqliteURL(tb),
		EngineOptions: echobun.EngineOptions{Hooks: []bun.QueryHook{hooks[""]}},
		Binds:         echobun.Binds{},
	}
	for _, key := range keys {
		hooks[key] = &sentHook{}
		cfg.Binds[key] = echobun.EngineOptions{URL: sqliteURL(tb), Hooks: []bun.QueryHook{hooks[key]}}
	}
	return cfg, hooks
}

// columnNames returns the columns of a table, none if there is no table.
func columnNames(ctx context.Context, t *testing.T, db bun.IDB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(ctx, "SELECT * FROM ? WHERE 1 = 0", bun.Ident(table))
	if err != nil {
		return nil
	}
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	require.NoError(t, rows.Err())
	return columns
}

type onAuth struct {
	bun.BaseModel `bun:"table:things"`
	authModel

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

type onMeta struct {
	bun.BaseModel `bun:"table:things"`
	metaModel

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

type onDefault struct {
	bun.BaseModel `bun:"table:things"`

	ID   int64 `bun:",pk,autoincrement"`
	Name string
}

// TestThreeDialects puts tables of one name on three databases and asserts
// that each gets its own rows, in its own dialect.
func TestThreeDialects(t *testing.T) {
	t.Parallel()
	cfg := threeDatabases(t)
	hooks := map[string]*sentHook{"": {}, "auth": {}, "meta": {}}
	cfg.EngineOptions.Hooks = []bun.QueryHook{hooks[""]}
	for key, opts := range cfg.Binds {
		opts.Hooks = []bun.QueryHook{hooks[key]}
		cfg.Binds[key] = opts
	}
	x := newExtension(t, cfg, (*onAuth)(nil), (*onMeta)(nil), (*onDefault)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	for _, h := range hooks {
		h.take()
	}

	for key, model := range map[string]any{
		"": &onDefault{Name: "it's \\ default"}, "auth": &onAuth{Name: "it's \\ auth"}, "meta": &onMeta{Name: "it's \\ meta"},
	} {
		_, err := db.NewInsert().Model(model).Exec(ctx)
		require.NoError(t, err)

		sent := hooks[key].take()
		require.Len(t, sent, 1, key)
		switch key {
		case "":
			require.Contains(t, sent[0], `INSERT INTO "things"`)
			require.Contains(t, sent[0], `DEFAULT, 'it''s \ default'`)
		case "auth":
			require.Contains(t, sent[0], "INSERT INTO `things`")
			require.Contains(t, sent[0], "X'", "the driver's dialect writes strings with escapes as bytes")
		case "meta":
			require.Contains(t, sent[0], `INSERT INTO "things"`)
			require.NotContains(t, sent[0], "DEFAULT")
		}
	}

	for key, model := range map[string]any{"": (*onDefault)(nil), "auth": (*onAuth)(nil), "meta": (*onMeta)(nil)} {
		var names []string
		require.NoError(t, db.NewSelect().Model(model).Column("name").Scan(ctx, &names))
		require.Len(t, names, 1)
		require.True(t, strings.HasSuffix(names[0], key), names[0])
		require.True(t, strings.HasPrefix(names[0], `it's \ `), names[0])

		// One model through Bind of each other bind: that bind's rows.
		names = nil
		require.NoError(t, db.Bind(key).NewSelect().Model((*onAuth)(nil)).Column("name").Scan(ctx, &names))
		require.Len(t, names, 1)
		require.True(t, strings.HasSuffix(names[0], key), names[0])
	}
}

func namesOfThings(ctx context.Context, t *testing.T, db bun.IDB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(ctx, "SELECT name FROM things")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		names = append(names, "")
		require.NoError(t, rows.Scan(&names[len(names)-1]))
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, names)
	return names
}

func TestRawSQL(t *testing.T) {
	t.Parallel()
	x := newExtension(t, threeDatabases(t), (*onAuth)(nil), (*onMeta)(nil), (*onDefault)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))

	for key, model := range map[string]any{"": (*onDefault)(nil), "auth": onAuth{}, "meta": &[]onMeta{}} {
		for _, idb := range []bun.IDB{db.Bind(key), db.For(model)} {
			_, err := idb.ExecContext(ctx, "INSERT INTO things (name) VALUES (?)", "raw on "+key)
			require.NoError(t, err)
			_, err = idb.NewRaw("UPDATE ? SET name = ?", bun.Ident("things"), "changed on "+key).Exec(ctx)
			require.NoError(t, err)

			var name string
			require.NoError(t, idb.QueryRowContext(ctx, "SELECT name FROM things WHERE name = ?", "changed on "+key).Scan(&name))
			for _, name := range namesOfThings(ctx, t, idb) {
				require.Equal(t, "changed on "+key, name)
			}
		}
	}
	var names []string
	require.NoError(t, db.NewRaw("SELECT name FROM things").Scan(ctx, &names))
	require.Equal(t, []string{"changed on ", "changed on "}, names, "NewRaw is on the default bind")
}
