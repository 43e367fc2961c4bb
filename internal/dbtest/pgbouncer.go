package dbtest

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// PgBouncer starts a PgBouncer in transaction mode in front of a PostgreSQL
// server, for one test, and returns the server's database as it is behind it.
// Settings are lines of its section [pgbouncer], over those of this package.
func PgBouncer(tb testing.TB, upstream *Server, settings ...string) *Server {
	tb.Helper()
	k := pgbouncerFor(upstream)
	skipShort(tb, k)
	r, err := launchPgBouncer(k, upstream, settings)
	if err != nil {
		skipOrFail(tb, k, err)
	}
	tb.Cleanup(r.remove)
	s := r.server()
	s.User, s.sock, s.tb, s.run = upstream.User, "", tb, r
	return &s
}

// pgbouncerFor returns the kind of a PgBouncer for one database. To its
// clients it is a PostgreSQL server.
func pgbouncerFor(upstream *Server) *kind {
	return &kind{
		name:     "PgBouncer",
		scheme:   postgres.scheme,
		database: upstream.Database,
		users:    postgres.users,
		stop:     syscall.SIGTERM,
		kill:     syscall.SIGTERM,
		guard:    "TERM",
		find:     findPgBouncer,
		command:  func(r *instance) ([]string, error) { return pgbouncerCommand(r, upstream) },
		exec:     execPostgres,
	}
}

func findPgBouncer() (*programs, error) {
	p := &programs{server: lookPath("pgbouncer", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")}
	if p.server == "" {
		return nil, errMissing
	}
	return p, nil
}

// launchPgBouncer starts it on a free port. It has no data, so there is no template.
func launchPgBouncer(k *kind, upstream *Server, settings []string) (*instance, error) {
	p, err := k.find()
	if err != nil {
		return nil, err
	}
	o, err := findOwner(k.users)
	if err != nil {
		return nil, fmt.Errorf("find a user to run as in place of root: %w", err)
	}
	g, err := newGuard(k, o)
	if err != nil {
		return nil, err
	}
	r := &instance{template: &template{kind: k, programs: p, owner: o, password: upstream.Password}, guard: g, extra: settings}
	if err := r.startAnywhere(); err != nil {
		g.remove()
		return nil, err
	}
	return r, nil
}

const pgbouncerConf = `[databases]
%s = host=%s port=%d dbname=%s

[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
%s
`

func pgbouncerCommand(r *instance, upstream *Server) ([]string, error) {
	users, conf := filepath.Join(r.guard.dir, "users"), filepath.Join(r.guard.dir, "pgbouncer.ini")
	err := r.owner.writeFile(users, pgbouncerQuote(upstream.User)+" "+pgbouncerQuote(upstream.Password)+"\n")
	if err != nil {
		return nil, err
	}
	err = r.owner.writeFile(conf, fmt.Sprintf(pgbouncerConf, upstream.Database, upstream.Host, upstream.Port, upstream.Database,
		loopback, r.port, users, strings.Join(r.extra, "\n")))
	if err != nil {
		return nil, err
	}
	return []string{r.programs.server, conf}, nil
}

// pgbouncerQuote writes a word of the file of users.
func pgbouncerQuote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
