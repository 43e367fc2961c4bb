package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newModule makes a module with the package x and, if test is not empty, a test
// of it.
func newModule(t *testing.T, code, test string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"go.mod":    "module example.com/x\n\ngo 1.25\n",
		"root.go":   "package root\n",
		"x/x.go":    code,
		"x/test.go": "package x\n",
	}
	if test != "" {
		files["x/x_test.go"] = test
	}
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return root
}

const counted = `package x

func Least(list []int) int {
	least, steps := list[0], 0
	for _, n := range list {
		if n < least {
			least = n
		}
		steps++
	}
	return least
}
`

const leastIsTested = `package x

import "testing"

func TestLeast(t *testing.T) {
	if Least([]int{3, 1, 2}) != 1 {
		t.Fatal("not the least")
	}
}
`

func TestRun(t *testing.T) {
	t.Parallel()
	root := newModule(t, counted, leastIsTested)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), root, []string{"./x"}, options{n: 100, seed: 1}, &out))

	for _, want := range []string{
		"noticed   condition  ./x/x.go:6: n < least => !(n < least)  [TestLeast]",
		"noticed   statement  ./x/x.go:7: least = n => (nothing)  [TestLeast]",
		"SURVIVED  condition  ./x/x.go:6: n < least => n <= least  [no test noticed it]",
		"SURVIVED  constant   ./x/x.go:4: 0 => 1  [no test noticed it]",
		"survivor: ./x/x.go:4: 0 => 1",
	} {
		require.Contains(t, out.String(), want)
	}
	require.Contains(t, out.String(), "2 of 5 noticed")
	require.NotContains(t, out.String(), "steps++", "without it the code does not compile")
	code, err := os.ReadFile(filepath.Join(root, "x/x.go"))
	require.NoError(t, err)
	require.Equal(t, counted, string(code), "the tree stays as it is")
}

// A test that fails with every mutant, and without one, says nothing.
func TestRunBrokenTest(t *testing.T) {
	t.Parallel()
	broken := strings.Replace(leastIsTested, "!= 1", "!= 7", 1)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), newModule(t, counted, broken), []string{"./x"}, options{n: 1, seed: 1}, &out))
	require.Contains(t, out.String(), "SURVIVED")
	require.Contains(t, out.String(), "now and then: TestLeast")
}

func TestRunPanic(t *testing.T) {
	t.Parallel()
	code := "package x\n\nfunc First(list []int) int {\n\tif len(list) == 0 {\n\t\treturn -1\n\t}\n\treturn list[0]\n}\n"
	test := "package x\n\nimport \"testing\"\n\nfunc TestFirst(t *testing.T) {\n\tFirst(nil)\n}\n"
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), newModule(t, code, test), []string{"./x"}, options{n: 2, seed: 1}, &out))
	require.Contains(t, out.String(), "len(list) == 0 => ")
	require.Contains(t, out.String(), "noticed")
}

func TestDraw(t *testing.T) {
	t.Parallel()
	root := newModule(t, counted, "")
	sites, err := findSites(t.Context(), root, []string{"./x"})
	require.NoError(t, err)
	require.Len(t, sites, 6)
	first := draw(sites, 3)
	require.Equal(t, first, draw(sites, 3), "a seed draws the same")
	require.ElementsMatch(t, sites, first)
	require.Equal(t, []kind{condition, statement, constant}, []kind{first[0].kind, first[1].kind, first[2].kind})
}

func TestFindSitesNowhere(t *testing.T) {
	t.Parallel()
	root := newModule(t, counted, "")
	_, err := findSites(t.Context(), root, []string{"./y"})
	require.ErrorContains(t, err, "./y")
	_, err = findSites(t.Context(), root, []string{"."})
	require.ErrorContains(t, err, "nothing to change")
}

func TestTestsOfAFileAreNear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]string{
		"tx_test.go": "TestTx", "tx_nested_test.go": "TestNested", "write_test.go": "TestWrite", "main_test.go": "TestMain",
	} {
		text := "package x\n\nfunc " + test + "(t *testing.T) {}\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for file, want := range map[string][]string{
		"tx.go": {"TestNested", "TestTx"}, "tx_end.go": {"TestNested", "TestTx"},
		"internal/writes/answer.go": {"TestWrite"}, "main.go": nil, "session.go": nil,
	} {
		tests, err := near(dir, file)
		require.NoError(t, err)
		require.ElementsMatch(t, want, tests, file)
	}
}
