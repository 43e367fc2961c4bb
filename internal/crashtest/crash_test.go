//go:build failpoint

package crashtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// recoverLimit is how long a recovery may take.
const recoverLimit = 5 * time.Second

// count reads how many times something is to be done.
func count(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// A site is three databases, with tables.
type site struct {
	urls     map[string]string
	postgres *dbtest.Server
	mariadb  *dbtest.Server
	runs     int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{postgres: dbtest.StartPostgres(t), mariadb: dbtest.StartMariaDB(t)}
	s.urls = map[string]string{
		"": s.postgres.URL(), "auth": s.mariadb.URL(), "meta": "sqlite:///" + filepath.Join(t.TempDir(), "crash.db"),
	}
	x := s.open(t)
	defer func() { require.NoError(t, x.Close()) }()
	ctx, end := x.AppContext(t.Context())
	defer end()
	require.NoError(t, x.CreateAll(ctx))
	session, err := x.Session(ctx)
	require.NoError(t, err)
	require.NoError(t, transact(ctx, session, variants[0], "first")) // It makes the logs.
	_, err = session.Bind("meta").NewRaw("CREATE TABLE crash_orphans (parent REFERENCES crash_rows (id) DEFERRABLE INITIALLY DEFERRED)").Exec(ctx)
	require.NoError(t, err)
	return s
}

// open returns an extension as a process has it that was started again.
func (s *site) open(t *testing.T) *echobun.Extension {
	t.Helper()
	x, err := openAll(s.urls)
	require.NoError(t, err)
	return x
}

// A run is a child and what it has said.
type run struct {
	cmd   *exec.Cmd
	said  chan struct{} // Closed when it says no more.
	ready chan struct{} // Closed with its first word.

	mu    sync.Mutex // Protects lines.
	lines []string
}

// start starts a child.
func (s *site) start(t *testing.T, o orders) (*run, string) {
	t.Helper()
	s.runs++
	o.URLs, o.Prefix = s.urls, fmt.Sprintf("r%d-", s.runs)
	text, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := &run{cmd: cmd, said: make(chan struct{}), ready: make(chan struct{})}
	t.Cleanup(r.kill)
	go func() {
		defer close(r.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.mu.Lock()
			if r.lines = append(r.lines, lines.Text()); len(r.lines) == 1 {
				close(r.ready)
			}
			r.mu.Unlock()
		}
	}()
	return r, o.Prefix
}

// kill kills the child, if it lives, and waits for its last word.
func (r *run) kill() {
	_ = r.cmd.Process.Kill()
	r.wait()
}

func (r *run) wait() {
	<-r.said
	_ = r.cmd.Wait()
}

// heard returns what follows a word in the child's lines.
func (r *run) heard(word string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, line := range r.lines {
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			found = append(found, rest)
		}
	}
	return found
}

// recovered recovers as a new process would, at once with others, and then
// looks whether the databases agree. It returns how many branches the
// recoveries have committed and rolled back.
func (s *site) recovered(t *testing.T, v variant, prefix string, acked []string, at int) (committed, rolledBack int) {
	t.Helper()
	reports := make([]echobun.RecoverReport, at)
	var all sync.WaitGroup
	for i := range at {
		x := s.open(t)
		all.Go(func() {
			start := time.Now()
			report, err := x.RecoverPrepared(t.Context())
			if took := time.Since(start); err != nil || took > recoverLimit {
				t.Errorf("recovery took %s: %v", took, err)
			}
			if err := x.Close(); err != nil {
				t.Error(err)
			}
			reports[i] = report
		})
	}
	all.Wait()

	x := s.open(t)
	defer func() { require.NoError(t, x.Close()) }()
	if at > 1 { // Each may have been in the other's way.
		_, err := x.RecoverPrepared(t.Context())
		require.NoError(t, err)
	}
	again, err := x.RecoverPrepared(t.Context())
	require.NoError(t, err)
	require.Equal(t, "recovered: nothing", again.String(), "the second recovery, after %v", reports)
	s.requireAgreement(t, x, v, prefix, acked)
	requireNothingLeft(t, x)
	for _, report := range reports {
		committed += sum(report.Committed)
		rolledBack += sum(report.RolledBack)
	}
	return committed, rolledBack
}

// requireAgreement asserts that all binds of the variant have the same rows,
// and that those which were acknowledged are among them.
func (s *site) requireAgreement(t *testing.T, x *echobun.Extension, v variant, prefix string, acked []string) {
	t.Helper()
	var first []string
	for i, key := range v.Binds {
		var ids []string
		err := x.Engines()[key].NewSelect().Table("crash_rows").Column("id").
			Where("id LIKE ?", prefix+"%").Order("id").Scan(t.Context(), &ids)
		require.NoError(t, err)
		slices.Sort(ids)
		if i == 0 {
			first = ids
		}
		require.Equal(t, first, ids, "%s: bind %q", v, key)
	}
	for _, id := range acked {
		require.Contains(t, first, id, "%s: it was acknowledged", v)
	}
}

// requireNothingLeft asserts that nothing is prepared, and that the logs are
// empty but for words of where a decision is, which are forgotten by a process
// that has seen them before.
func requireNothingLeft(t *testing.T, x *echobun.Extension) {
	t.Helper()
	for key, db := range x.Engines() {
		var left []string
		err := db.NewSelect().Table("echobun_commits").Column("id").
			Where("id <> 'installation' AND decision NOT LIKE 'see %'").Scan(t.Context(), &left)
		require.NoError(t, err)
		require.Empty(t, left, "log of %q", key)
	}
	for key, scheme := range map[string]string{"": "postgresql", "auth": "mysql"} {
		tp, ok := driver.Drivers()[scheme].(driver.TwoPhase)
		require.True(t, ok)
		conn, err := x.Engines()[key].Conn(t.Context())
		require.NoError(t, err)
		prepared, err := tp.Prepared(t.Context(), conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.Empty(t, prepared, key)
	}
}

// steps lists the steps of one transaction of a variant.
func (s *site) steps(t *testing.T, v variant) []string {
	t.Helper()
	r, prefix := s.start(t, orders{Variant: v, Steps: true, Nth: 1})
	r.wait()
	require.Len(t, append(r.heard("ack"), r.heard("refused")...), 2, r.lines)
	s.recovered(t, v, prefix, r.heard("ack"), 1)
	return r.heard("step")
}

// requireSteps requires that all those steps are among the ones that were taken.
func requireSteps(t *testing.T, taken []string, names ...string) {
	t.Helper()
	for _, name := range names {
		require.True(t, slices.ContainsFunc(taken, func(at string) bool { return stepName(at) == name }), "no step %s among %v", name, taken)
	}
}

// kill kills a child at a step of a transaction, has others recover, and
// returns how many branches these have committed and rolled back.
func (s *site) kill(t *testing.T, v variant, at string, recoveries int) (committed, rolledBack int) {
	t.Helper()
	r, prefix := s.start(t, orders{Variant: v, Step: at, Nth: 1 + rand.IntN(2)})
	r.requireKilled(t, at)
	return s.recovered(t, v, prefix, r.heard("ack"), recoveries)
}

// requireKilled waits for the child's end, which has to be by its own hand.
func (r *run) requireKilled(t *testing.T, at string) {
	t.Helper()
	r.wait()
	require.Equal(t, -1, r.cmd.ProcessState.ExitCode(), "it was not killed at %s: %v", at, r.lines)
}

// TestCrashSteps kills the process at each step of the protocol.
func TestCrashSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kills := count(t, "CRASH_KILLS", 20)
	having := map[string][]variant{}
	var all []string
	for _, v := range variants {
		for _, at := range s.steps(t, v) {
			if having[at] == nil {
				all = append(all, at)
			}
			having[at] = append(having[at], v)
		}
	}
	requireSteps(t, all, "begin", "pointed", "recorded", "prepare", "prepared", "decide", "decided", "finish", "finished", "forget")

	for _, at := range all {
		committed, rolledBack := 0, 0
		for i := range kills {
			c, b := s.kill(t, having[at][i%len(having[at])], at, 1+i%2)
			committed, rolledBack = committed+c, rolledBack+b
		}
		logKills(t, at, kills, committed, rolledBack)
	}
}

func logKills(t *testing.T, at string, kills, committed, rolledBack int) {
	t.Helper()
	t.Logf("%-20s %3d kills: %3d branches committed, %3d rolled back", at, kills, committed, rolledBack)
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// TestCrashAnywhere kills the process at random instants under load, half of
// the time with recoveries running beside it.
func TestCrashAnywhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kills := count(t, "CRASH_RANDOM", 300)
	acked, committed, rolledBack := 0, 0, 0
	for i := range kills {
		v := variants[i%len(variants)]
		r, prefix := s.start(t, orders{Variant: v, Clients: 8})
		stop := s.beside(t, i%2 == 0)
		<-r.ready
		time.Sleep(time.Duration(5+rand.IntN(75)) * time.Millisecond) // The instant.
		r.kill()
		stop()
		s.waitForSilence(t)
		c, b := s.recovered(t, v, prefix, r.heard("ack"), 1+i%2)
		acked += len(r.heard("ack"))
		committed, rolledBack = committed+c, rolledBack+b
	}
	require.Positive(t, acked)
	t.Logf("%d kills: %d transactions acknowledged, none missing; %d branches committed, %d rolled back", kills, acked, committed, rolledBack)
}

// waitForSilence waits until nobody else is connected to the servers: they may
// still be at work on what a killed child has sent, a PREPARE for example.
func (s *site) waitForSilence(t *testing.T) {
	t.Helper()
	x := s.open(t)
	defer func() { require.NoError(t, x.Close()) }()
	for key, query := range map[string]string{
		"":     "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"auth": "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
	} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) { // A poll, on one connection.
			var others int
			require.NoError(t, x.Engines()[key].QueryRowContext(t.Context(), query).Scan(&others))
			if others == 0 {
				break
			}
			require.True(t, time.Now().Before(deadline), "bind %q: %d stay connected", key, others)
		}
	}
}

// beside runs recoveries until it is stopped.
func (s *site) beside(t *testing.T, yes bool) (stop func()) {
	t.Helper()
	if !yes {
		return func() {}
	}
	x := s.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = x.RecoverPrepared(ctx)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
		require.NoError(t, x.Close())
	}
}

// TestCrashServers kills and restarts the servers under load.
func TestCrashServers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	acked := 0
	for i := range count(t, "CRASH_SERVERS", 20) {
		v := variants[i%len(variants)]
		server := s.postgres
		if i%2 == 1 {
			server = s.mariadb
		}
		r, prefix := s.start(t, orders{Variant: v, Clients: 8})
		<-r.ready
		time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond) // The instant.
		server.Kill()
		server.Start()
		time.Sleep(200 * time.Millisecond) // The child goes on.
		r.kill()
		s.recovered(t, v, prefix, r.heard("ack"), 1)
		acked += len(r.heard("ack"))
	}
	require.Positive(t, acked)
	t.Logf("%d transactions acknowledged, none missing", acked)
}
