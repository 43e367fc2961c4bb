package dbtest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Postgres returns a fresh database on the PostgreSQL server that the tests of
// this process share. It is dropped when the test ends.
func Postgres(tb testing.TB) *Server {
	tb.Helper()
	return sharedPostgres.database(tb)
}

// MariaDB returns a fresh database on the MariaDB or MySQL server that the
// tests of this process share. It is dropped when the test ends.
func MariaDB(tb testing.TB) *Server {
	tb.Helper()
	return sharedMariaDB.database(tb)
}

// StartPostgres starts a PostgreSQL server for one test, which may stop, kill
// and start it. Conf are lines of postgresql.conf, over those of this package.
// The server ends with the test.
func StartPostgres(tb testing.TB, conf ...string) *Server {
	tb.Helper()
	return startOwn(tb, &postgres, conf)
}

// StartMariaDB starts a MariaDB or MySQL server for one test, which may stop,
// kill and start it. Args are options of its command line, over those of this
// package. The server ends with the test.
func StartMariaDB(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return startOwn(tb, &mariadb, args)
}

// Skip skips a test that needs what, which is not to be had here. With CI=true
// in the environment nothing may be skipped: it fails.
func Skip(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s, and CI=true allows no skipping", what)
	}
	noteSkip(what)
	tb.Skip(what)
}

// errMissing is that a server is not installed.
var errMissing = errors.New("not installed")

// skipOrFail ends a test that got no server.
func skipOrFail(tb testing.TB, k *kind, err error) {
	tb.Helper()
	if errors.Is(err, errMissing) {
		way := "make setup installs it"
		if k.env != "" {
			way += ", " + k.env + " names a server to use"
		}
		Skip(tb, fmt.Sprintf("needs %s, which is not installed here (%s)", k.name, way))
	}
	tb.Fatalf("dbtest: start %s: %v", k.name, err)
}

func skipShort(tb testing.TB, k *kind) {
	tb.Helper()
	if testing.Short() {
		what := "needs " + k.name + ", which -short leaves out"
		noteSkip(what)
		tb.Skip(what)
	}
}

func startOwn(tb testing.TB, k *kind, extra []string) *Server {
	tb.Helper()
	skipShort(tb, k)
	r, err := launch(k, extra)
	if err != nil {
		skipOrFail(tb, k, err)
	}
	tb.Cleanup(r.remove)
	s := r.server()
	s.tb, s.run = tb, r
	return &s
}

// shared is the server of one kind that the tests of a process share.
type shared struct {
	kind *kind

	mu    sync.Mutex // guards what follows
	asked bool
	base  Server
	run   *instance // Nil for a given server, too.
	err   error
}

var (
	sharedPostgres = &shared{kind: &postgres}
	sharedMariaDB  = &shared{kind: &mariadb}
)

func (s *shared) database(tb testing.TB) *Server {
	tb.Helper()
	skipShort(tb, s.kind)
	base, err := s.get()
	if err != nil {
		skipOrFail(tb, s.kind, err)
	}
	return base.on(tb)
}

// get returns the server, started on the first call. It fails for good.
func (s *shared) get() (Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked {
		return s.base, s.err
	}
	s.asked = true
	if given := os.Getenv(s.kind.env); given != "" {
		s.base, s.err = parseGiven(s.kind, given)
		return s.base, s.err
	}
	if s.run, s.err = launch(s.kind, nil); s.err == nil {
		s.base = s.run.server()
	}
	return s.base, s.err
}

// stop ends the server if there is one. The next call of get starts another.
func (s *shared) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		s.run.remove()
	}
	s.asked, s.run, s.err = false, nil, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // It never fails.
	return hex.EncodeToString(b)
}
