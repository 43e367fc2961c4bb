package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// An overlay is a patched tree: the go command takes the files that a patch
// changes from copies, and all others, already compiled, from where they are.
type overlay struct {
	root string // The tree.
	dir  string // The copies, with the tree's names.
}

// newOverlay applies a patch to copies of the files that it changes.
func newOverlay(ctx context.Context, root, file string, p *patch) (*overlay, error) {
	dir, err := os.MkdirTemp("", "uncured-")
	if err != nil {
		return nil, err
	}
	o := &overlay{root, dir}
	if err := errors.Join(o.fill(p.files), o.apply(ctx, file), o.describe(p.files)); err != nil {
		o.remove()
		return nil, err
	}
	return o, nil
}

// fill copies files. A new one is not there yet.
func (o *overlay) fill(files []string) error {
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(o.root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		to := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (o *overlay) apply(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "git", "apply", file)
	cmd.Dir = o.dir
	// In a repository around the copies git would leave out what is not its own.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(o.dir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("the patch does not apply: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// describe tells the go command of the copies.
func (o *overlay) describe(files []string) error {
	replace := map[string]string{}
	for _, name := range files {
		copied := filepath.Join(o.dir, name)
		if _, err := os.Stat(copied); err != nil {
			copied = "" // The patch removes it.
		}
		replace[filepath.Join(o.root, name)] = copied
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(), b, 0o600)
}

func (o *overlay) file() string { return filepath.Join(o.dir, "overlay.json") }

// env is an environment in which the go command, and one that a test calls,
// sees the patched tree.
func (o *overlay) env() []string {
	return append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+o.file())
}

func (o *overlay) remove() { _ = os.RemoveAll(o.dir) }
