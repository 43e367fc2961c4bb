package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// A guard is a small process that outlives this one for a moment. It owns a
// temporary folder and, while there is one, knows of the server in it: when
// this process closes its pipe or ends, however it ends, the guard ends the
// server and removes the folder.
type guard struct {
	dir  string
	pipe *os.File // A line with a process id, or an empty one, tells of the server.
	cmd  *exec.Cmd
}

// guardScript gets a signal and a folder. It waits for the server before it
// removes its files, for 10 s at most.
const guardScript = `
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
	kill -s "$1" "$pid"
	tries=0
	while kill -0 "$pid" && [ "$tries" -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -s KILL "$pid"
fi
rm -rf "$2"
`

func newGuard(k *kind, o owner) (*guard, error) {
	dir, err := os.MkdirTemp(tempRoot(), "echobun-test-")
	if err != nil {
		return nil, err
	}
	if err := o.take(dir); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	defer r.Close() //nolint:errcheck // It is the guard's now.
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", guardScript, "sh", k.guard, dir)
	cmd.Stdin, cmd.SysProcAttr, cmd.Dir = r, owner{}.attr(), "/"
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return &guard{dir: dir, pipe: w, cmd: cmd}, nil
}

// ended tells the guard that its server has ended.
func (g *guard) ended() { _, _ = fmt.Fprintln(g.pipe) }

// remove ends the guard, and with it a server that still runs. The folder is
// gone when it returns.
func (g *guard) remove() {
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
