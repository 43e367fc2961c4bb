package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

var mariadb = kind{
	name:     "MariaDB",
	env:      "ECHOBUN_TEST_MYSQL",
	scheme:   "mysql",
	schemes:  []string{"mysql", "mariadb"},
	port:     3306,
	database: "mysql",
	socket:   "sock",
	users:    []string{"mysql", "nobody"},
	stop:     syscall.SIGTERM,
	kill:     syscall.SIGKILL,
	guard:    "KILL",
	find:     findMariaDB,
	install:  installMariaDB,
	command:  mariadbCommand,
	exec:     execMariaDB,
	create:   createMariaDB,
	drop:     dropMariaDB,
}

// findMariaDB takes MySQL's server where MariaDB's is not installed.
func findMariaDB() (*programs, error) {
	dirs := []string{
		"/usr/sbin", "/usr/libexec", "/usr/local/libexec",
		"/opt/homebrew/opt/mariadb/bin", "/usr/local/opt/mariadb/bin",
		"/opt/homebrew/opt/mysql/bin", "/usr/local/opt/mysql/bin",
	}
	p := &programs{server: lookPath("mariadbd", dirs...), install: lookPath("mariadb-install-db", dirs...)}
	if p.server != "" && p.install != "" {
		return p, nil
	}
	p = &programs{server: lookPath("mysqld", dirs...), mysql: true}
	if p.server == "" {
		return nil, errMissing
	}
	p.install = p.server
	version, err := exec.CommandContext(context.Background(), p.server, "--no-defaults", "--version").Output()
	if err != nil || strings.Contains(string(version), "MariaDB") {
		return nil, errMissing // MariaDB's old name for its server, without the program that installs.
	}
	return p, nil
}

func installMariaDB(t *template) error {
	if t.programs.mysql {
		return t.run(t.programs.install, "--no-defaults", "--initialize-insecure", "--datadir="+t.data)
	}
	return t.run(t.programs.install, "--no-defaults", "--datadir="+t.data,
		"--auth-root-authentication-method=normal", "--skip-test-db")
}

// mariadbCommand is fast, and honest about what it has acknowledged: with
// innodb-flush-log-at-trx-commit=0, commits would be lost in a crash.
func mariadbCommand(r *instance) ([]string, error) {
	dir := r.guard.dir
	users := filepath.Join(dir, "init.sql")
	if err := r.owner.writeFile(users, mariadbUsers(r.password)); err != nil {
		return nil, err
	}
	args := []string{
		r.programs.server, "--no-defaults", "--datadir=" + r.data, "--tmpdir=" + dir,
		"--init-file=" + users,
		"--bind-address=" + loopback, "--port=" + strconv.Itoa(r.port),
		"--socket=" + filepath.Join(dir, r.kind.socket), "--pid-file=" + filepath.Join(dir, "pid"),
		"--skip-name-resolve", "--skip-log-bin", "--max-connections=400", "--performance-schema=off",
		"--character-set-server=utf8mb4",
		"--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=2",
	}
	if r.programs.mysql {
		args = append(args, "--mysqlx=OFF")
	} else {
		args = append(args, "--innodb-flush-method=nosync")
	}
	return append(args, r.extra...), nil
}

// mariadbUsers is run at every start, before the first client is let in. An
// init file has one statement to a line.
func mariadbUsers(password string) string {
	return fmt.Sprintf(`CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';
GRANT ALL ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY '%[2]s';
`, adminUser, password)
}

func openMariaDB(s *Server) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr = "tcp", s.Addr()
	cfg.User, cfg.Passwd, cfg.DBName = s.User, s.Password, s.Database
	// It would tell of each connection that a starting server refuses.
	cfg.Logger = &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, nil
}

func execMariaDB(ctx context.Context, s *Server, statements ...string) error {
	db, err := openMariaDB(s)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // What counts is the statements' errors.
	for _, q := range statements {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func createMariaDB(ctx context.Context, admin *Server, name string) error {
	return execMariaDB(ctx, admin, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
}

// dropMariaDB first ends the connections that still use the database: an open
// transaction there would make it wait. A prepared branch holds its locks
// without a connection.
func dropMariaDB(ctx context.Context, admin *Server, name string) error {
	ids, err := connectionsTo(ctx, admin, name)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_ = execMariaDB(ctx, admin, "KILL "+strconv.FormatInt(id, 10)) // It may have left by itself.
	}
	return execMariaDB(ctx, admin, "SET SESSION lock_wait_timeout = 5", "DROP DATABASE IF EXISTS "+name)
}

// connectionsTo returns the connections that use a database, as far as the
// user may see them.
func connectionsTo(ctx context.Context, admin *Server, name string) ([]int64, error) {
	db, err := openMariaDB(admin)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // What counts is the statement's error.
	rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong.
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
