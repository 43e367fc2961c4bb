package echobun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// A leftover is something that a statement leaves in the session of its connection.
type leftover struct {
	name, leave string
	look, clean string // A query, and its answer on a session that nobody has changed.
}

// leftovers are by database; onConnect is what is set on each connection there.
var (
	leftovers = map[string][]leftover{
		"PostgreSQL": {
			{"settings", "UPDATE pg_settings SET setting = '7s' WHERE name = 'statement_timeout'", "SHOW statement_timeout", "9s"},
			{"procedure", "CALL linger()", "SHOW statement_timeout", "9s"},
			{"set", "SET statement_timeout = '7s'", "SHOW statement_timeout", "9s"},
			{"search_path", "SET search_path = pg_catalog", "SHOW search_path", `"$user", public`},
			{"set_config", "SELECT set_config('statement_timeout', '7s', false)", "SHOW statement_timeout", "9s"},
			{"reset", "RESET ALL", "SHOW statement_timeout", "9s"},
			{"temporary table", "CREATE TEMP TABLE items (id int)", "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()", "0"},
			{"advisory lock", "SELECT pg_advisory_lock(2)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "0"},
			{"begin", "BEGIN", "SELECT 1", "1"},
			{"listen", "LISTEN somebody", "SELECT count(*) FROM pg_listening_channels()", "0"},
			{"prepared", "PREPARE p AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE from_sql", "0"},
		},
		"MariaDB": {
			{"set", "SET max_statement_time = 7", "SELECT @@max_statement_time = 9", "1"},
			{"sql_mode", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT LOCATE('ANSI_QUOTES', @@sql_mode)", "0"},
			{"transaction", "SET TRANSACTION READ ONLY", "SELECT 1", "1"},
			{"names", "/*!40101 SET NAMES latin1 */", "SELECT @@character_set_client", "utf8mb4"},
			{"user variable", "SET @who = 'me'", "SELECT @who IS NULL", "1"},
			{"database", "USE information_schema", "SELECT DATABASE() LIKE 'echobun%'", "1"},
			{"temporary table", "CREATE TEMPORARY TABLE items (id int)", "SELECT count(*) FROM items", "0"},
			{"lock", "SELECT GET_LOCK('mine', 0)", "SELECT COALESCE(IS_USED_LOCK('mine'), 0) = CONNECTION_ID()", "0"},
			{"begin", "BEGIN", "SELECT @@in_transaction", "0"},
			{"autocommit", "SET autocommit = 0", "SELECT @@autocommit", "1"},
			{"set for", "SET STATEMENT max_statement_time = 8 FOR SET SESSION max_statement_time = 7", "SELECT ROUND(@@max_statement_time)", "9"},
			{"procedure", "CALL linger()", "SELECT ROUND(@@max_statement_time)", "9"},
		},
		"SQLite": {
			{"pragma", "PRAGMA cache_size = 77", "SELECT cache_size FROM pragma_cache_size", "99"},
			{"foreign keys", "PRAGMA foreign_keys = OFF", "SELECT foreign_keys FROM pragma_foreign_keys", "1"},
			{"query only", "PRAGMA query_only = ON", "SELECT query_only FROM pragma_query_only", "0"},
			{"temporary table", "CREATE TEMP TABLE items (id int)", "SELECT count(*) FROM sqlite_temp_master", "0"},
			{"attached", "ATTACH ':memory:' AS other", "SELECT count(*) FROM pragma_database_list WHERE name <> 'main'", "0"},
			{"begin", "BEGIN", "SELECT 1", "1"},
		},
	}
	onConnect = map[string]string{
		"PostgreSQL": "SET statement_timeout = '9s'", "MariaDB": "SET SESSION max_statement_time = 9", "SQLite": "PRAGMA cache_size = 99",
	}
)

// What a statement leaves in its session does not reach the next borrower of
// the connection, however it was sent; and what OnConnect set is there again.
func TestSessionStateIsNotHandedOn(t *testing.T) {
	t.Parallel()
	for kind, all := range leftovers {
		for _, l := range all {
			t.Run(kind+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{
					URL: databases[kind](t), MaxOpenConns: 1, OnConnect: []string{onConnect[kind]},
				}})
				ctx, db := newSession(t, x)
				_, err := db.NewRaw("CREATE TABLE items (id int)").Exec(ctx)
				require.NoError(t, err)
				if l.name == "procedure" {
					require.NoError(t, ran(db.NewRaw(lingering[kind]).Exec(ctx)))
				}
				for door, send := range doors(ctx, x, db) {
					require.NoError(t, send(l.leave), door)
					requireClean(ctx, t, x, l, door)
				}
			})
		}
	}
}

// lingering is a procedure that sets something for good.
var lingering = map[string]string{
	"PostgreSQL": "CREATE PROCEDURE linger() LANGUAGE plpgsql AS $$BEGIN SET statement_timeout = '7s'; END$$",
	"MariaDB":    "CREATE PROCEDURE linger() SET SESSION max_statement_time = 7",
}

// doors are the ways of a statement to a connection of the pool.
func doors(ctx context.Context, x *echobun.Extension, db *echobun.Session) map[string]func(query string) error {
	return map[string]func(query string) error{
		"NewRaw": func(query string) error {
			_, err := db.NewRaw(query).Exec(ctx)
			return err
		},
		"Bind": func(query string) error {
			_, err := db.Bind("").ExecContext(ctx, query)
			return err
		},
		"Bind, as a query": func(query string) error {
			rows, err := db.Bind("").QueryContext(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		},
		"Conn": func(query string) error {
			conn, err := x.Engine().Conn(ctx)
			if err != nil {
				return err
			}
			_, err = conn.ExecContext(ctx, query)
			_ = conn.Close()
			return err
		},
		"Prepare": func(query string) error {
			conn, err := x.Engine().Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			stmt, err := conn.PrepareContext(ctx, query)
			if err != nil { // Some statements cannot be prepared.
				_, err = conn.ExecContext(ctx, query)
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx)
			return err
		},
	}
}

// requireClean requires that the next borrower finds nothing, and that what it
// writes is there when its connection has gone.
func requireClean(ctx context.Context, t *testing.T, x *echobun.Extension, l leftover, door string) {
	t.Helper()
	pool := x.Engine()
	var got string
	require.NoError(t, pool.QueryRowContext(ctx, l.look).Scan(&got), door)
	require.Equal(t, l.clean, got, door)
	_, err := pool.ExecContext(ctx, "INSERT INTO items (id) VALUES (1)")
	require.NoError(t, err, door)
	require.Zero(t, pool.Stats().InUse, door)
	pool.SetMaxIdleConns(0)
	pool.SetMaxIdleConns(1)
	var n int
	require.NoError(t, pool.QueryRowContext(ctx, "SELECT count(*) FROM items").Scan(&n), door)
	require.Equal(t, 1, n, door)
	_, err = pool.ExecContext(ctx, "DELETE FROM items")
	require.NoError(t, err, door)
}

type stateNote struct {
	ID    int64  `bun:",pk,autoincrement"`
	Title string `bun:",notnull"`
}

// A connection on which nothing of that kind ran is kept, and so is one of a
// pool with OnConnect.
func TestPlainConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for kind, url := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{
				URL: url(t), MaxOpenConns: 1, OnConnect: []string{onConnect[kind]},
			}}, (*stateNote)(nil))
			ctx, db := newSession(t, x)
			before := identity(ctx, t, x)
			require.NoError(t, x.CreateAll(ctx))
			for range 10 {
				require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
					_, err := tx.NewInsert().Model(&stateNote{Title: "SET x = 1; SELECT GET_LOCK('a', 1), set_config('a', 'b', false)"}).Exec(ctx)
					return err
				}))
				_, err := db.NewSelect().Model((*stateNote)(nil)).Count(ctx)
				require.NoError(t, err)
			}
			require.NoError(t, x.DropAll(ctx))
			require.Same(t, before, identity(ctx, t, x))
		})
	}
}

// identity returns the driver package's connection.
func identity(ctx context.Context, t *testing.T, x *echobun.Extension) (c any) {
	t.Helper()
	conn, err := x.Engine().Conn(ctx)
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(dc any) error { c = dc; return nil }))
	require.NoError(t, conn.Close())
	return c
}
