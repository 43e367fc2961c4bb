package dbtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// startLimit and stopLimit bound the start and the end of a server on a
	// busy machine.
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	// pingLimit bounds one question to a server that may not be ready.
	pingLimit = 5 * time.Second
	// startTries is how many ports are tried.
	startTries = 8
)

// errPort is that the port was taken when the server wanted it.
var errPort = errors.New("the port is in use")

// An instance is one server that this package runs. It is not safe for
// concurrent use.
type instance struct {
	*template

	guard *guard // Its own, and so is data.
	data  string
	extra []string // Of the configuration or the command line.
	port  int

	cmd  *exec.Cmd
	gone chan struct{} // Closed when cmd has ended.
}

// launch starts a server on a free port.
func launch(k *kind, extra []string) (*instance, error) {
	t, err := templateOf(k)
	if err != nil {
		return nil, err
	}
	return launchFrom(t, extra, func(r *instance) error { return t.run("cp", "-a", t.data, r.data) })
}

// launchFrom starts a server on a free port, with the data that fill makes.
func launchFrom(t *template, extra []string, fill func(*instance) error) (*instance, error) {
	g, err := newGuard(t.kind, t.owner)
	if err != nil {
		return nil, err
	}
	r := &instance{template: t, guard: g, data: filepath.Join(g.dir, "data"), extra: extra}
	if err = fill(r); err == nil {
		err = r.startAnywhere()
	}
	if err != nil {
		g.remove()
		return nil, err
	}
	return r, nil
}

// startAnywhere starts the server on one of some ports.
func (r *instance) startAnywhere() error {
	var err error
	for range startTries {
		r.port = freePort()
		if err = r.start(); !errors.Is(err, errPort) {
			return err
		}
	}
	return err
}

// freePort returns a port that nobody listens on. It is below those that
// systems hand out for outgoing connections, so that a server that is stopped
// for a while finds it free.
func freePort() int {
	for {
		port := 10_000 + rand.IntN(20_000)
		ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("%s:%d", loopback, port))
		if err == nil {
			_ = ln.Close()
			return port
		}
	}
}

// start starts the server on its port and waits until it answers.
func (r *instance) start() error {
	if r.cmd != nil {
		return errors.New("it is running")
	}
	args, err := r.kind.command(r)
	if err != nil {
		return err
	}
	if err := r.spawn(args); err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return errors.Join(err, r.end(r.kind.kill))
	}
	return nil
}

// spawn starts the server's process. A shell tells the guard its id before it
// becomes the server, so that there is no moment in which the guard would not
// know of it.
func (r *instance) spawn(args []string) error {
	log, err := os.Create(r.log())
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // The server has it open.
	cmd := exec.CommandContext(context.Background(), "/bin/sh",
		append([]string{"-c", `echo $$ >&3; exec "$@" 3>&-`, "sh"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{r.guard.pipe}
	cmd.SysProcAttr, cmd.Dir, cmd.Env = r.owner.attr(), r.guard.dir, serverEnv()
	if err := cmd.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait()
	}()
	r.cmd, r.gone = cmd, gone
	return nil
}

// ready waits until the server answers.
func (r *instance) ready() error {
	s := r.server()
	deadline := time.Now().Add(startLimit)
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-r.gone:
			return r.explain()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer after %v: %w\n%s", startLimit, err, r.lastWords())
		}
	}
}

// explain is why the server ended as soon as it was started.
func (r *instance) explain() error {
	words := r.lastWords()
	if strings.Contains(words, "already in use") {
		return fmt.Errorf("%w: %s", errPort, words)
	}
	return fmt.Errorf("it ended at once: %s", words)
}

// end sends the server a signal and waits until it is gone. It does nothing
// for a server that does not run.
func (r *instance) end(sig os.Signal) error {
	if r.cmd == nil {
		return nil
	}
	_ = r.cmd.Process.Signal(sig) // It may have ended by itself.
	var err error
	select {
	case <-r.gone:
	case <-time.After(stopLimit):
		err = fmt.Errorf("it does not end on %v", sig)
		_ = r.cmd.Process.Kill()
		<-r.gone
	}
	r.guard.ended()
	r.cmd, r.gone = nil, nil
	return err
}

// remove ends the server, without care for its data, and removes its files.
func (r *instance) remove() {
	_ = r.end(r.kind.kill)
	r.guard.remove()
}

func (r *instance) log() string { return filepath.Join(r.guard.dir, "log") }

// lastWords is the end of the server's log.
func (r *instance) lastWords() string {
	b, err := os.ReadFile(r.log())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

// ping asks the server for an answer.
func (s *Server) ping() error {
	return within(pingLimit, func(ctx context.Context) error { return s.kind.exec(ctx, s, "SELECT 1") })
}
