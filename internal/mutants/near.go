package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var testFunc = regexp.MustCompile(`(?m)^func (Test[A-Z0-9_]\w*)\(`)

// near returns the tests in dir that are about a file, to be asked first, since
// most mutants are noticed there: those of the test files that have the name of
// the file, of its first word, or of its package.
func near(dir, file string) ([]string, error) {
	name := strings.TrimSuffix(filepath.Base(file), ".go")
	word, _, _ := strings.Cut(name, "_")
	about := []string{word, filepath.Base(filepath.Dir(file))}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, f := range files {
		if !slices.ContainsFunc(about, func(s string) bool {
			return strings.HasPrefix(filepath.Base(f), strings.TrimSuffix(s, "s"))
		}) {
			continue
		}
		text, err := os.ReadFile(f) //nolint:gosec // It is a file of this repository.
		if err != nil {
			return nil, err
		}
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			tests = append(tests, string(m[1]))
		}
	}
	return slices.DeleteFunc(tests, func(t string) bool { return t == "TestMain" }), nil
}
