package dbtest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// adminLimit bounds the making and the dropping of a database.
const adminLimit = time.Minute

// A Server is a database on a running server, and how to get there. Its user
// may do anything there, unless the server is a given one. The password has
// letters and digits only, with the same exception.
//
// Its methods are safe for concurrent use, but Stop, Kill and Start are not.
type Server struct {
	Host     string
	Port     int
	User     string
	Password string
	Database string

	kind  *kind
	query string     // Of a given server's URL.
	tb    testing.TB // Of the test that asked for it.
	run   *instance  // Nil unless it is a server of the test's own.
	sock  string     // Empty where it is not known.
}

// Addr returns the server's address, a "host:port".
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL returns the URL of the database, "postgresql://user:password@host:port/db"
// or "mysql://...".
func (s *Server) URL() string { return s.URLVia(s.Addr()) }

// URLVia returns [Server.URL] with addr, that of a proxy, as its host and port.
func (s *Server) URLVia(addr string) string {
	u := url.URL{
		Scheme:   s.kind.scheme,
		User:     url.UserPassword(s.User, s.Password),
		Host:     addr,
		Path:     "/" + s.Database,
		RawQuery: s.query,
	}
	return u.String()
}

// Socket returns the server's Unix socket as its clients name it: a folder for
// PostgreSQL, a file for MariaDB. It is empty for a given server.
func (s *Server) Socket() string { return s.sock }

// Stop ends the server in good order. Only for servers of [StartPostgres] and
// [StartMariaDB], as Kill and Start.
func (s *Server) Stop() {
	s.tb.Helper()
	s.control("stop", func(r *instance) error { return r.end(s.kind.stop) })
}

// Kill crashes the server: nothing is saved, and clients hear nothing or little. A PostgreSQL
// server gets the immediate shutdown, since its children would outlive it for a while
// otherwise.
func (s *Server) Kill() {
	s.tb.Helper()
	s.control("kill", func(r *instance) error { return r.end(s.kind.kill) })
}

// Start starts a server that was stopped or killed again, with the same port
// and data, and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	s.control("start", (*instance).start)
}

func (s *Server) control(what string, do func(*instance) error) {
	s.tb.Helper()
	err := errors.New("the server is shared: use StartPostgres or StartMariaDB")
	if s.run != nil {
		err = do(s.run)
	}
	if err != nil {
		s.tb.Fatalf("dbtest: %s %s: %v", what, s.kind.name, err)
	}
}

// on returns a server for tb that is the same but for its database, which is
// made here and dropped when tb ends.
func (s *Server) on(tb testing.TB) *Server {
	tb.Helper()
	fresh := *s
	fresh.tb, fresh.Database = tb, "echobun_"+randomHex(6)
	err := within(adminLimit, func(ctx context.Context) error { return s.kind.create(ctx, s, fresh.Database) })
	if err != nil {
		tb.Fatalf("dbtest: create a database on %s: %v", s.kind.name, err)
	}
	name := fresh.Database // The test may change the field.
	tb.Cleanup(func() {
		err := within(adminLimit, func(ctx context.Context) error { return s.kind.drop(ctx, s, name) })
		if err != nil {
			tb.Logf("dbtest: database %s of %s stays behind: %v", name, s.kind.name, err)
		}
	})
	return &fresh
}

// within calls do with a context that ends after limit. It is not the test's:
// that one has ended when the test cleans up.
func within(limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return do(ctx)
}

// server returns the database that the instance was made with.
func (r *instance) server() Server {
	return Server{
		Host: loopback, Port: r.port, User: adminUser, Password: r.password, Database: r.kind.database,
		kind: r.kind, sock: filepath.Join(r.guard.dir, r.kind.socket),
	}
}
