package bench_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echobun/echobun/bench"
	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/report"
	"github.com/echobun/echobun/bench/work"
	"github.com/echobun/echobun/internal/dbtest"
)

var (
	full  = flag.Bool("full", false, "measure, and write RESULTS.md and its plots; else run everything once")
	only  = flag.String("only", "", "measure only the work that matches, and print it, to look at a profile say")
	peers = flag.String("peers", "", "with -only: measure only the peers that match")
)

// GORM's cache of statements has a goroutine that nobody can end.
func TestMain(m *testing.M) {
	dbtest.Main(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// TestCompare is `make bench` with -full. Without it, it runs everything once
// and looks whether the results can be written.
func TestCompare(t *testing.T) { //nolint:paralleltest // It measures.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sets, spare := sets(t)
	for _, set := range sets[:3] {
		require.NoError(t, set.Fill(ctx), set.Name)
	}
	env := &work.Env{Sets: sets, Quick: !*full && *only == "", Log: t.Logf}
	if *only != "" {
		env.Only, env.Peers = regexp.MustCompile(*only), regexp.MustCompile(*peers)
	}
	r, err := bench.Run(ctx, env, spare)
	require.NoError(t, err)
	if *only != "" {
		t.Log("\n" + r.Tables())
		return
	}

	dir := t.TempDir()
	if *full {
		dir = "."
	}
	require.NoError(t, r.Write(dir))
	requireResults(t, dir)
}

// requireResults looks whether what was written is whole.
func requireResults(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	require.NoError(t, err)
	for i, name := range []string{
		"Routing alone", "Middleware alone", "Point select", "List of 100 rows", "Insert", "Update", "Has-many relation",
		"HTTP page from three binds", "Transaction over two binds", "Atomic request", "CreateAll of 3 × 50 tables", "Start-up",
	} {
		require.Regexp(t, `### \d+\. `+name+`\n`, string(text), "work %d", i+1)
	}
	require.NotContains(t, string(text), "NaN")
	plots, err := filepath.Glob(filepath.Join(dir, report.Plots, "*.svg"))
	require.NoError(t, err)
	require.Len(t, plots, 6)
}

// sets returns three databases of each kind, the set that has one of each, and
// one more of each.
func sets(t *testing.T) (all []data.Set, spare data.Set) {
	t.Helper()
	postgres := dbtest.StartPostgres(t, "max_connections = 600")
	mariadb := dbtest.StartMariaDB(t, "--max-connections=1000")
	dir := t.TempDir()
	fresh := map[data.Kind]func(name string) data.Database{
		data.SQLite:     func(name string) data.Database { return data.File(filepath.Join(dir, name+".db")) },
		data.PostgreSQL: func(name string) data.Database { return create(t, data.PostgreSQL, postgres, name) },
		data.MariaDB:    func(name string) data.Database { return create(t, data.MariaDB, mariadb, name) },
	}
	for _, kind := range []data.Kind{data.SQLite, data.PostgreSQL, data.MariaDB} {
		all = append(all, data.Set{
			Name: string(kind), Main: fresh[kind]("main"), Blog: fresh[kind]("blog"), Log: fresh[kind]("log"),
		})
	}
	all = append(all, data.Set{
		Name: "SQLite + PostgreSQL + MariaDB",
		Main: all[0].Main, Blog: all[1].Blog, Log: all[2].Log,
	})
	spare = data.Set{
		Name: "SQLite + PostgreSQL + MariaDB",
		Main: fresh[data.SQLite]("spare"), Blog: fresh[data.PostgreSQL]("spare"), Log: fresh[data.MariaDB]("spare"),
	}
	return all, spare
}

// create makes a database on a server.
func create(t *testing.T, kind data.Kind, s *dbtest.Server, name string) data.Database {
	t.Helper()
	admin := data.Database{Kind: kind, URL: s.URL()}
	db, err := admin.Open(admin.DSN())
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE bench_"+name)
	require.NoError(t, err)
	made := *s
	made.Database = "bench_" + name
	return data.Database{Kind: kind, URL: made.URL()}
}
