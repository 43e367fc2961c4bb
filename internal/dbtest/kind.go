package dbtest

import (
	"context"
	"os"
)

const (
	loopback  = "127.0.0.1"
	adminUser = "echobun"
)

// kind is what differs between the kinds of server.
type kind struct {
	name     string   // For people.
	env      string   // The variable that names a server to use.
	scheme   string   // Of its URLs.
	schemes  []string // Understood in the variable.
	port     int      // Its usual port.
	database string   // Always there, for administration.
	socket   string   // Below the instance's folder.
	users    []string // Who it may run as instead of root, best first.
	stop     os.Signal
	kill     os.Signal
	guard    string // The signal for a server whose test process is gone.

	// find returns the programs that are needed, or errMissing.
	find func() (*programs, error)
	// install fills a template of the data folder.
	install func(t *template) error
	// command returns the server's command line.
	command func(r *instance) ([]string, error)
	// exec runs statements in a server's database, on a connection of their own.
	exec func(ctx context.Context, s *Server, statements ...string) error
	// create and drop do so with a database.
	create, drop func(ctx context.Context, admin *Server, name string) error
}

// programs are the paths of a kind's programs.
type programs struct {
	install, server string
	mysql           bool // MySQL's own, not MariaDB's.
}
