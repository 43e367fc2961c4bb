package dbtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

var postgres = kind{
	name:     "PostgreSQL",
	env:      "ECHOBUN_TEST_POSTGRES",
	scheme:   "postgresql",
	schemes:  []string{"postgresql", "postgres"},
	port:     5432,
	database: "postgres",
	users:    []string{"postgres", "nobody"},
	stop:     syscall.SIGINT,
	kill:     syscall.SIGQUIT,
	guard:    "QUIT",
	find:     findPostgres,
	install:  installPostgres,
	command:  postgresCommand,
	exec:     execPostgres,
	create:   createPostgres,
	drop:     dropPostgres,
}

// postgresConf is fast, and honest about what it has acknowledged: with
// synchronous_commit=off, commits would be lost in a crash of the server.
const postgresConf = `
listen_addresses = '127.0.0.1'
max_prepared_transactions = 20
max_connections = 200
fsync = off
full_page_writes = off
synchronous_commit = on
`

func findPostgres() (*programs, error) {
	dirs := []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	}
	p := &programs{install: lookPath("initdb", dirs...), server: lookPath("postgres", dirs...)}
	if p.install == "" || p.server == "" {
		return nil, errMissing
	}
	return p, nil
}

func installPostgres(t *template) error {
	pw := filepath.Join(t.guard.dir, "password")
	if err := t.owner.writeFile(pw, t.password); err != nil {
		return err
	}
	defer os.Remove(pw) //nolint:errcheck // The folder is removed in the end, too.
	return t.run(t.programs.install,
		"--pgdata="+t.data, "--username="+adminUser, "--pwfile="+pw, "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--no-sync")
}

func postgresCommand(r *instance) ([]string, error) {
	conf := fmt.Sprintf("%sport = %d\nunix_socket_directories = '%s'\n%s\n",
		postgresConf, r.port, r.guard.dir, strings.Join(r.extra, "\n"))
	// The file that ALTER SYSTEM writes is read after this one, as usual.
	if err := r.owner.writeFile(filepath.Join(r.data, "postgresql.conf"), conf); err != nil {
		return nil, err
	}
	return []string{r.programs.server, "-D", r.data}, nil
}

func execPostgres(ctx context.Context, s *Server, statements ...string) error {
	cfg, err := pgx.ParseConfig(s.URL())
	if err != nil {
		return err
	}
	if s.sock != "" { // A server of ours has no TLS: asking for it takes a connection more.
		cfg.TLSConfig, cfg.Fallbacks = nil, nil
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // What counts is the statements' errors.
	for _, q := range statements {
		if _, err := conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func createPostgres(ctx context.Context, admin *Server, name string) error {
	return execPostgres(ctx, admin, "CREATE DATABASE "+name)
}

func dropPostgres(ctx context.Context, admin *Server, name string) error {
	return execPostgres(ctx, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}
