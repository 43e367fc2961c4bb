// Command example is a small but real application on three databases: posts
// on the default bind, users on the bind "auth", page hits on the bind "meta".
// It serves a page and a JSON API:
//
//	go run -C _example .
//
// Out of the box the three are SQLite files in the folder instance. The same
// binary runs on PostgreSQL and MariaDB, any mix of them, through environment
// variables:
//
//	EXAMPLE_DATABASE_URI=postgresql://user:password@localhost/blog
//	EXAMPLE_BINDS__AUTH=mysql://user:password@localhost/auth
//	EXAMPLE_BINDS__META=sqlite:///hits.db
//	EXAMPLE_INSTANCE_PATH=instance
//	EXAMPLE_ADDR=127.0.0.1:8080
//	EXAMPLE_TWO_PHASE=true
//	EXAMPLE_DEBUG=false
//
// The page /debug/db shows what every request did to the databases, unless the
// last of these is set.
//
// Everything that [echobun.ConfigFromEnv] reads works, such as EXAMPLE_ECHO=true
// to see the statements.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/echobun/echobun"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean end; a second one, no longer caught, forces it.
	context.AfterFunc(ctx, stop)

	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run is the program: it serves until ctx is done.
func run(ctx context.Context, out io.Writer) (err error) {
	cfg, err := config()
	if err != nil {
		return err
	}
	ext, err := echobun.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ext.Close()) }()

	if err := setUp(ctx, ext); err != nil {
		return err
	}
	return serve(ctx, ext, out)
}

// setUp makes the tables that are missing and fills them with a row or two.
func setUp(ctx context.Context, ext *echobun.Extension) error {
	if err := ext.Register((*Post)(nil), (*User)(nil), PageHits); err != nil {
		return err
	}

	// There is no request yet, so this needs an app context of its own.
	ctx, end := ext.AppContext(ctx)
	defer end()
	if err := ext.CreateAll(ctx); err != nil {
		return fmt.Errorf("make tables: %w", err)
	}
	if err := seed(ctx, ext); err != nil {
		return fmt.Errorf("add the first rows: %w", err)
	}
	return nil
}
