package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// A template is a data folder that no server has used yet. It is made once
// for each kind and process, for it takes a second; servers get copies.
type template struct {
	kind     *kind
	programs *programs
	owner    owner
	guard    *guard
	data     string
	password string
}

var (
	templateMu sync.Mutex // guards templates
	templates  = map[*kind]*template{}
)

// templateOf returns the template of a kind, made on the first call.
func templateOf(k *kind) (*template, error) {
	templateMu.Lock()
	defer templateMu.Unlock()
	if t := templates[k]; t != nil {
		return t, nil
	}
	t, err := newTemplate(k)
	if err != nil {
		return nil, err
	}
	templates[k] = t
	return t, nil
}

func newTemplate(k *kind) (*template, error) {
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
	t := &template{
		kind: k, programs: p, owner: o, guard: g,
		data: filepath.Join(g.dir, "data"), password: randomHex(8),
	}
	if err := k.install(t); err != nil {
		g.remove()
		return nil, err
	}
	return t, nil
}

// removeTemplates removes the files of all templates.
func removeTemplates() {
	templateMu.Lock()
	defer templateMu.Unlock()
	for k, t := range templates {
		t.guard.remove()
		delete(templates, k)
	}
}

// run runs a program as the templates' owner, to its end.
func (t *template) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// In the shared folder for temporary files, two installations at once
	// would take each other's.
	cmd.SysProcAttr, cmd.Dir, cmd.Env = t.owner.attr(), t.guard.dir, append(serverEnv(), "TMPDIR="+t.guard.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}

// serverEnv is an environment in which nothing of the user's own is set, the
// PG variables for instance.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "LC_ALL=C"}
}

// writeFile writes a file that only the owner reads.
func (o owner) writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return o.take(path)
}
