package dbtest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

// childEnv tells a test that it runs in a process of its own, and what to do.
const childEnv = "DBTEST_CHILD"

// child returns the command that runs one test of this package in a process
// of its own, with env over an environment without this package's variables.
func child(t *testing.T, test string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+test+"$")
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CI=") && !strings.HasPrefix(e, "ECHOBUN_TEST_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, childEnv+"="+test)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func isChild(t *testing.T) bool {
	t.Helper()
	return os.Getenv(childEnv) == t.Name()
}

// needServers skips a test whose child needs servers where there are none.
func needServers(t *testing.T) {
	t.Helper()
	for _, k := range kinds {
		k.fresh(t)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.Skip(t, "needs a unicorn")
	}
	for _, tt := range []struct {
		name, env string
		want      []string
		fails     bool
	}{
		{"Alone", "CI=", []string{"--- SKIP", "skipped 1 tests: needs a unicorn"}, false},
		{"CI", "CI=true", []string{"--- FAIL", "needs a unicorn, and CI=true allows no skipping"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := child(t, "TestSkip", tt.env).CombinedOutput()
			require.Equal(t, tt.fails, err != nil, "%s", out)
			for _, want := range tt.want {
				require.Contains(t, string(out), want)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.Missing(t)
	}
	out, err := child(t, "TestMissing").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "skipped 1 tests: needs PostgreSQL, which is not installed here "+
		"(make setup installs it, ECHOBUN_TEST_POSTGRES names a server to use)")
}

func TestShort(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.Postgres(t)
	}
	cmd := child(t, "TestShort", "CI=true")
	cmd.Args = append(cmd.Args, "-test.short")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "skipped 1 tests: needs PostgreSQL, which -short leaves out")
}

// Main has to see a goroutine that a test left behind.
func TestLeak(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		go func() { select {} }()
		return
	}
	out, err := child(t, "TestLeak").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "--- PASS")
	require.Contains(t, string(out), "goroutines are left")
}

// A test process that is killed must leave neither servers nor files.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		for _, k := range kinds {
			s := k.start(t)
			fmt.Println("server", s.Addr(), s.Socket())
			s = k.fresh(t)
			fmt.Println("server", s.Addr(), s.Socket())
		}
		fmt.Println("ready")
		select {}
	}
	needServers(t)
	cmd := child(t, "TestKilledProcess", "TMPDIR="+openTempDir(t))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var servers [][]string
	in := bufio.NewScanner(out)
	for in.Scan() && in.Text() != "ready" {
		if f := strings.Fields(in.Text()); len(f) == 3 && f[0] == "server" {
			servers = append(servers, f[1:])
		}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	require.Len(t, servers, 4)
	for _, s := range servers {
		require.Eventually(t, func() bool { return refuses(s[0]) }, 20*time.Second, 20*time.Millisecond)
	}
	require.Eventually(t, func() bool {
		left, err := os.ReadDir(tempDirOf(cmd))
		return err == nil && len(left) == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// openTempDir returns a temporary folder that other users may search, as the
// servers' has to be.
func openTempDir(t *testing.T) string {
	t.Helper()
	root := "/dev/shm" // In memory, for speed.
	if _, err := os.Stat(root); err != nil {
		root = ""
	}
	dir, err := os.MkdirTemp(root, "dbtest") //nolint:usetesting // The folder above that of t.TempDir is closed to others.
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

func tempDirOf(cmd *exec.Cmd) string {
	for _, e := range cmd.Env {
		if dir, ok := strings.CutPrefix(e, "TMPDIR="); ok {
			return dir
		}
	}
	return ""
}

func refuses(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

func TestGivenServer(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		for _, k := range kinds {
			if os.Getenv(k.env) != "" {
				s := k.fresh(t)
				require.Equal(t, "1", k.must(t, s, "SELECT 1"))
				fmt.Println("used", s.Addr(), s.Database, s.Socket() == "")
			}
		}
		return
	}
	forKinds(t, func(t *testing.T, k kind) {
		t.Helper()
		s := k.start(t)
		out, err := child(t, "TestGivenServer", k.env+"="+s.URL()).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "used "+s.Addr()+" echobun_")
		require.Contains(t, string(out), " true\n")
	})
}

func TestBadGivenServer(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.Postgres(t)
	}
	for _, tt := range []struct{ name, url, want string }{
		{"NotURL", "postgres://u:Secret1@%zz", "is not a URL"},
		{"Scheme", "mysql://u:Secret1@127.0.0.1/x", `has the scheme "mysql": use "postgresql"`},
		{"NoUser", "postgres://127.0.0.1/x", "needs a host and a user"},
		{"Down", "postgres://u:Secret1@127.0.0.1:1/x", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := child(t, "TestBadGivenServer", "ECHOBUN_TEST_POSTGRES="+tt.url).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), tt.want)
			require.False(t, bytes.Contains(out, []byte("Secret1")), "%s", out)
		})
	}
}

// A setting that the server refuses has to fail the test at once, with the
// server's own words.
func TestBadSetting(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.StartPostgres(t, "no_such_setting = 1")
	}
	needServers(t)
	out, err := child(t, "TestBadSetting").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), `unrecognized configuration parameter "no_such_setting"`)
}

func TestSharedServersStay(t *testing.T) {
	t.Parallel()
	if isChild(t) {
		dbtest.Postgres(t).Stop()
	}
	needServers(t)
	out, err := child(t, "TestSharedServersStay").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "the server is shared: use StartPostgres or StartMariaDB")
}
