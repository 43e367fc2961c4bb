package dbtest

import (
	"os/exec"
	"path/filepath"
	"slices"
)

// lookPath finds a program on the PATH or in one of the folders that patterns
// match, the last in alphabetical order first. It returns "" without one.
func lookPath(name string, patterns ...string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern)
		slices.Reverse(dirs)
		for _, dir := range dirs {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return p
			}
		}
	}
	return ""
}
