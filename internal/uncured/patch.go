package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A patch is what the head of a patch file says.
type patch struct {
	dir   string   // The package's folder, "./driver/pgx".
	test  string   // The -run expression.
	flags []string // More flags of go test.
	cure  string   // What the patch takes out.
	files []string // What the diff changes, removes and adds.
}

// readPatch reads the head of a patch file, and which files the diff changes.
func readPatch(file string) (*patch, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // It is only read.
	p := &patch{}
	head := true
	in := bufio.NewScanner(f)
	for in.Scan() {
		head = head && !strings.HasPrefix(in.Text(), "diff ") && !strings.HasPrefix(in.Text(), "--- ")
		if !head {
			p.readDiff(in.Text())
		} else if err := p.readHead(strings.TrimSpace(strings.TrimPrefix(in.Text(), "#"))); err != nil {
			return nil, err
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if p.test == "" || p.cure == "" {
		return nil, errors.New(`it has to begin with "Test: folder expression" and "Cure: sentence"`)
	}
	return p, nil
}

// readDiff notes a file that the diff changes.
func (p *patch) readDiff(line string) {
	for _, prefix := range []string{"--- a/", "+++ b/"} {
		name, ok := strings.CutPrefix(line, prefix)
		name, _, _ = strings.Cut(name, "\t") // A time may follow.
		if ok && !slices.Contains(p.files, name) {
			p.files = append(p.files, name)
		}
	}
}

// readHead reads one line of the head. Other lines are for people.
func (p *patch) readHead(line string) error {
	if cure, ok := strings.CutPrefix(line, "Cure:"); ok {
		p.cure = strings.TrimSpace(cure)
	}
	test, ok := strings.CutPrefix(line, "Test:")
	if !ok {
		return nil
	}
	words := strings.Fields(test)
	if len(words) < 2 {
		return fmt.Errorf("%q does not name a folder and a -run expression", line)
	}
	p.dir, p.test, p.flags = words[0], words[1], words[2:]
	return nil
}
