package programs_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
	"github.com/echobun/echobun/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// places are where programs run, and how many: in CI, and with ECHOBUN_LONG=1.
var places = []struct {
	name       string
	config     func(testing.TB) echobun.Config
	twoPhase   bool
	few, count int
}{
	{"SQLite", files, false, 400, 100_000},
	{"SQLite deferred", deferred, false, 100, 20_000},
	{"all three", allThree, true, 60, 3_000},
	{"PostgreSQL", func(tb testing.TB) echobun.Config {
		tb.Helper()
		return three(dbtest.Postgres(tb).URL(), dbtest.Postgres(tb).URL(), dbtest.Postgres(tb).URL())
	}, true, 40, 3_000},
	{"MariaDB", func(tb testing.TB) echobun.Config {
		tb.Helper()
		return three(dbtest.MariaDB(tb).URL(), dbtest.MariaDB(tb).URL(), dbtest.MariaDB(tb).URL())
	}, false, 40, 3_000},
}

func three(first, auth, meta string) echobun.Config {
	return echobun.Config{DatabaseURI: first, Binds: echobun.Binds{"auth": {URL: auth}, "meta": {URL: meta}}}
}

func file(tb testing.TB) string {
	tb.Helper()
	return "sqlite:///" + tb.TempDir() + "/programs.db?synchronous=off"
}

func files(tb testing.TB) echobun.Config {
	tb.Helper()
	return three(file(tb), file(tb), "sqlite://") // One is in memory.
}

func deferred(tb testing.TB) echobun.Config {
	tb.Helper()
	return three(file(tb)+"&transaction=deferred", file(tb)+"&transaction=deferred&journal_mode=memory", file(tb))
}

func allThree(tb testing.TB) echobun.Config {
	tb.Helper()
	mariadb := dbtest.MariaDB(tb)
	c := three(dbtest.Postgres(tb).URL(), mariadb.URL(), file(tb))
	c.AppName = mariadb.Database // What is prepared there is listed for the whole server.
	return c
}

// TestPrograms runs random programs against a model. One that fails is printed,
// and runs alone with its number in ECHOBUN_SEED.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			x := open(t, place.config(t))
			first, count := uint64(1), place.few
			if os.Getenv("ECHOBUN_LONG") != "" {
				count = place.count
			}
			if seed, err := strconv.ParseUint(os.Getenv("ECHOBUN_SEED"), 10, 64); err == nil {
				first, count = seed, 1
			}
			var failed atomic.Int64
			for seed := first; seed < first+uint64(count); seed++ {
				check(t, x, newProgram(seed, place.twoPhase), &failed)
				if failed.Load() > 5 {
					t.FailNow()
				}
			}
			t.Logf("%d programs", count)
		})
	}
}

// open returns an extension with a table on each bind, in which one row is taken.
func open(t *testing.T, c echobun.Config) *echobun.Extension {
	t.Helper()
	x, err := echobun.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	for _, db := range x.Engines() {
		for _, query := range []string{"CREATE TABLE things (name varchar(80) PRIMARY KEY)", "INSERT INTO things VALUES ('taken')"} {
			_, err := db.ExecContext(t.Context(), query)
			require.NoError(t, err)
		}
	}
	return x
}

// check runs a program and compares what is there with what should be.
func check(t *testing.T, x *echobun.Extension, p *program, failed *atomic.Int64) {
	t.Helper()
	r := &run{p: p, x: x}
	if !ends(r.all) {
		t.Fatalf("GRAVE: a program does not end:\n%s", p)
	}
	for i, key := range binds {
		var names []string
		err := x.Engines()[key].NewSelect().Table("things").Column("name").Where("name <> 'taken'").Scan(context.Background(), &names)
		slices.Sort(names)
		slices.Sort(r.want[i])
		if err != nil || !slices.Equal(names, r.want[i]) {
			r.complain("GRAVE: bind %q has %v, want %v: %v", key, names, r.want[i], err)
		}
		if _, err := x.Engines()[key].ExecContext(context.Background(), "DELETE FROM things WHERE name <> 'taken'"); err != nil {
			r.complain("delete: %v", err)
		}
		if !atRest(x, key) {
			r.complain("bind %q has a connection in use", key)
		}
	}
	if len(r.wrong) > 0 {
		failed.Add(1)
		t.Errorf("%s%s", p, fmt.Sprintln(r.wrong))
	}
}

// ends reports whether do ends within a minute.
func ends(do func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
		return true
	case <-time.After(time.Minute):
		return false
	}
}

func atRest(x *echobun.Extension, key string) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if x.Engines()[key].Stats().InUse == 0 {
			return true
		}
	}
	return false
}
