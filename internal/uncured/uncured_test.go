package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newRepository makes a module with one function, a test for it, and patches.
func newRepository(t *testing.T, patchFiles map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"go.mod":     "module example.com/x\n\ngo 1.25\n",
		"x/x.go":     "package x\n\nfunc Double(n int) int {\n\treturn 2 * n\n}\n",
		".gitignore": "ignored\n",
		"ignored":    "x",
		"x/x_test.go": `package x

import "testing"

func TestDouble(t *testing.T) {
	if Double(3) != 6 {
		t.Fatal("not doubled")
	}
}

func TestNothing(t *testing.T) {}

func TestSkipped(t *testing.T) { t.Skip("no server") }
`,
	}
	for name, text := range patchFiles {
		files[filepath.Join(patches, name+".patch")] = text
	}
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return root
}

// diff returns a patch that replaces the body of Double.
func diff(test, from, to string) string {
	return "Test: " + test + "\nCure: it doubles\n\n" +
		"--- a/x/x.go\n+++ b/x/x.go\n@@ -1,5 +1,5 @@\n package x\n \n func Double(n int) int {\n-\t" + from + "\n+\t" + to + "\n }\n"
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, patch string
		want        string
	}{
		{"Proves", diff("./x TestDouble", "return 2 * n", "return n"), "ok   x " + "TestDouble fails without it: it doubles"},
		{"Flags", diff("./x TestDouble -short", "return 2 * n", "return n"), "ok   x TestDouble fails without it"},
		{"Panics", diff("./x TestDouble", "return 2 * n", "panic(n)"), "ok   x TestDouble fails without it"},
		{"Passes", diff("./x TestNothing", "return 2 * n", "return n"), "FAIL x TestNothing passes all the same, without: it doubles"},
		{"Skipped", diff("./x TestSkipped", "return 2 * n", "return n"), "FAIL x TestSkipped was skipped"},
		{"NoTest", diff("./x TestDubble", "return 2 * n", "return n"), "FAIL x no test in ./x matches TestDubble"},
		{"NoPackage", diff("./y TestDouble", "return 2 * n", "return n"), "FAIL x "},
		{"NotGo", diff("./x TestDouble", "return 2 * n", "return m"), "FAIL x it does not compile"},
		{"Stale", diff("./x TestDouble", "return n + n", "return n"), "FAIL x the patch does not apply"},
		{"NoHead", strings.TrimPrefix(diff("", "return 2 * n", "return n"), "Test: \n"), `FAIL x it has to begin with "Test: folder expression"`},
		{"HalfHead", diff("./x", "return 2 * n", "return n"), `FAIL x "Test: ./x" does not name a folder and a -run expression`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := newRepository(t, map[string]string{"x": tt.patch})
			var out bytes.Buffer
			failed, err := run(t.Context(), root, nil, all, &out)
			require.NoError(t, err)
			require.Equal(t, strings.HasPrefix(tt.want, "FAIL"), failed == 1)
			words := strings.Fields(out.String())
			got := words[0] + strings.Repeat(" ", 5-len(words[0])) + words[1] + " " + strings.Join(words[3:], " ")
			require.Contains(t, got, tt.want)
		})
	}
}

// One patch must not be there any more when the next is tried.
func TestRunSeveral(t *testing.T) {
	t.Parallel()
	good := diff("./x TestDouble", "return 2 * n", "return n")
	root := newRepository(t, map[string]string{"a": good, "b": good, "c": diff("./x TestDouble", "return 2 * n", "return m"), "d": good})
	var out bytes.Buffer
	failed, err := run(t.Context(), root, nil, all, &out)
	require.NoError(t, err)
	require.Equal(t, 1, failed, out.String())
	require.Equal(t, 3, strings.Count("\n"+out.String(), "\nok   "))
	require.Contains(t, out.String(), "\nFAIL c ")

	out.Reset()
	failed, err = run(t.Context(), root, []string{"d"}, all, &out)
	require.NoError(t, err)
	require.Zero(t, failed)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}

func all(string) bool { return true }

// What is not picked has to apply, and no more.
func TestRunShare(t *testing.T) {
	t.Parallel()
	root := newRepository(t, map[string]string{
		"proof": diff("./x TestDouble", "return 2 * n", "return n"), "no-proof": diff("./x TestNothing", "return 2 * n", "return n"),
		"stale": diff("./x TestDouble", "return 3 * n", "return n"),
	})
	var out bytes.Buffer
	failed, err := run(t.Context(), root, nil, func(string) bool { return false }, &out)
	require.NoError(t, err)
	require.Equal(t, 1, failed)
	require.Equal(t, 2, strings.Count(out.String(), "it applies: it doubles"), "%s", &out)
	require.Contains(t, out.String(), "FAIL stale")

	picked := 0
	for i := range 3000 {
		if oneIn(3, "seed")(strconv.Itoa(i)) {
			picked++
		}
	}
	require.InDelta(t, 1000, picked, 150)
	require.True(t, oneIn(1, "seed")("whatever"))
}

func TestRunNothing(t *testing.T) {
	t.Parallel()
	root := newRepository(t, nil)
	_, err := run(t.Context(), root, nil, all, &bytes.Buffer{})
	require.ErrorContains(t, err, "no patches in")
	root = newRepository(t, map[string]string{"x": ""})
	_, err = run(t.Context(), root, []string{"y"}, all, &bytes.Buffer{})
	require.ErrorContains(t, err, `no patch "y"`)
}

func TestRunCancelled(t *testing.T) {
	t.Parallel()
	good := diff("./x TestDouble", "return 2 * n", "return n")
	root := newRepository(t, map[string]string{"a": good, "b": good, "c": good})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := run(ctx, root, nil, all, &bytes.Buffer{})
	require.ErrorIs(t, err, context.Canceled)
}

// A patch may add files and remove them.
func TestRunNewAndRemoved(t *testing.T) {
	t.Parallel()
	patch := `# Test: ./x TestDouble
# Cure: it doubles

diff --git a/x/x.go b/x/x.go
deleted file mode 100644
--- a/x/x.go
+++ /dev/null
@@ -1,5 +0,0 @@
-package x
-
-func Double(n int) int {
-	return 2 * n
-}
diff --git a/x/y.go b/x/y.go
new file mode 100644
--- /dev/null
+++ b/x/y.go
@@ -0,0 +1,3 @@
+package x
+
+func Double(n int) int { return n }
`
	root := newRepository(t, map[string]string{"x": patch})
	var out bytes.Buffer
	failed, err := run(t.Context(), root, nil, all, &out)
	require.NoError(t, err)
	require.Zero(t, failed, out.String())
	require.FileExists(t, filepath.Join(root, "x/x.go"), "the tree stays as it is")
	require.NoFileExists(t, filepath.Join(root, "x/y.go"))
}
