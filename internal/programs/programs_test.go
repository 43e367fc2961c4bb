package programs_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
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
			seeds(t, place.few, place.count, func(seed uint64, n *tally) {
				check(t, x, n, newProgram(seed, place.twoPhase))
			})
		})
	}
}

// TestProgramsTogether runs four at once, which are in each other's way and have
// deadlines in their midst. What they are told has to be what is there.
func TestProgramsTogether(t *testing.T) {
	t.Parallel()
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			x := open(t, place.config(t))
			seeds(t, place.few/4, place.count/4, func(seed uint64, n *tally) {
				var programs []*program
				for i := range uint64(4) {
					programs = append(programs, newHurried(4*seed+i, place.twoPhase))
				}
				check(t, x, n, programs...)
			})
		})
	}
}

// A tally counts what became of programs.
type tally struct{ failed, committed int }

// seeds runs do for few seeds, for count with ECHOBUN_LONG, or for ECHOBUN_SEED.
func seeds(t *testing.T, few, count int, do func(seed uint64, n *tally)) {
	t.Helper()
	first := uint64(1)
	if os.Getenv("ECHOBUN_LONG") == "" {
		count = few
	}
	if seed, err := strconv.ParseUint(os.Getenv("ECHOBUN_SEED"), 10, 64); err == nil {
		first, count = seed, 1
	}
	var n tally
	for seed := first; seed < first+uint64(count) && n.failed <= 5; seed++ {
		do(seed, &n)
	}
	t.Logf("%d seeds, %d transactions are committed", count, n.committed)
	require.True(t, count == 1 || n.committed >= count/10, "few programs do anything")
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

// check runs programs at once and compares what is there with what should be.
func check(t *testing.T, x *echobun.Extension, n *tally, programs ...*program) {
	t.Helper()
	runs := make([]*run, len(programs))
	var all sync.WaitGroup
	for i, p := range programs {
		runs[i] = &run{p: p, x: x}
		all.Go(runs[i].all)
	}
	if !ends(all.Wait) {
		t.Fatalf("GRAVE: programs do not end:\n%s", programs)
	}
	for _, r := range runs {
		r.compare()
		if r.done {
			n.committed++
		}
		if len(r.wrong) > 0 {
			n.failed++
			t.Errorf("%s%s", r.p, fmt.Sprintln(r.wrong))
		}
	}
	for _, key := range binds {
		if !atRest(x, key) {
			t.Fatalf("GRAVE: bind %q has a connection in use:\n%s", key, programs)
		}
	}
}

// compare complains of what is not there, or should not be, and removes it.
func (r *run) compare() {
	for i, key := range binds {
		var names []string
		db, own := r.x.Engines()[key], r.p.prefix()+"%"
		err := db.NewSelect().Table("things").Column("name").Where("name LIKE ?", own).Scan(context.Background(), &names)
		slices.Sort(names)
		slices.Sort(r.want[i])
		if err != nil || !slices.Equal(names, r.want[i]) && (!r.maybe[i] || len(names) > 0) {
			r.complain("GRAVE: bind %q has %v, want %v (perhaps: %t): %v", key, names, r.want[i], r.maybe[i], err)
		}
		if _, err := db.ExecContext(context.Background(), "DELETE FROM things WHERE name LIKE ?", own); err != nil {
			r.complain("delete: %v", err)
		}
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
