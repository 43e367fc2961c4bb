package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// TestProcess runs the program as a person does: it reads what it prints, does
// what that says, and ends it.
func TestProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		dbtest.Skip(t, "needs signals, which Windows has not")
	}
	program := filepath.Join(t.TempDir(), "example")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, program)
			require.Contains(t, p.greeting, "Posts on default · sqlite, users on auth · sqlite, page hits on meta · sqlite.")
			p.tryCurlLines(t)

			finish := p.postSlowly(t)
			require.NoError(t, p.cmd.Process.Signal(signal))
			p.waitForNoListener(t)
			require.Equal(t, http.StatusCreated, finish(), "a request that was under way is finished")

			require.NoError(t, p.cmd.Wait(), "exit status of 0")
			require.Empty(t, p.stderr.String())
			for _, name := range []string{"posts.db", "users.db", "hits.db"} {
				require.FileExists(t, filepath.Join(p.cmd.Dir, "instance", name))
				require.NoFileExists(t, filepath.Join(p.cmd.Dir, "instance", name+"-wal"), "closed in good order")
			}
		})
	}
	t.Run("a port that is taken", func(t *testing.T) {
		t.Parallel()
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()

		cmd := exec.CommandContext(t.Context(), program)
		cmd.Dir = t.TempDir()
		cmd.Env = environment(ln.Addr().String())
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), ln.Addr().String())
		require.Contains(t, string(out), "EXAMPLE_ADDR chooses another address")
	})
}

// TestProcessEndsUnderLoad sends SIGTERM to the program while clients write as
// fast as they can: each request that it has taken is answered in full, and
// what it has said that it has written is there.
func TestProcessEndsUnderLoad(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		dbtest.Skip(t, "needs signals, which Windows has not")
	}
	program := filepath.Join(t.TempDir(), "example")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	p := startProcess(t, program)

	var clients sync.WaitGroup
	var created, refused atomic.Int64
	for i := range 16 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
			defer client.CloseIdleConnections()
			for n := range 100_000 {
				title := fmt.Sprintf("Post %d of client %d", n, i)
				accepted, status, err := p.post(client, title)
				switch {
				case err == nil && status == http.StatusCreated:
					created.Add(1)
				case !accepted:
					refused.Add(1)
					return
				default:
					t.Errorf("a request that was taken: status %d, %v", status, err)
					return
				}
			}
		})
	}
	require.Eventually(t, func() bool { return created.Load() > 100 }, 30*time.Second, time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	clients.Wait()
	require.NoError(t, p.cmd.Wait(), "exit status of 0: %s", &p.stderr)
	require.Empty(t, p.stderr.String())
	require.EqualValues(t, 16, refused.Load())

	ext, err := echobun.New(echobun.Config{DatabaseURI: "sqlite:///" + filepath.Join(p.cmd.Dir, "instance", "posts.db")})
	require.NoError(t, err)
	defer func() { require.NoError(t, ext.Close()) }()
	n, err := ext.Engine().NewSelect().Table("posts").Where("title LIKE 'Post %'").Count(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, created.Load(), n)
	t.Logf("%d requests answered, none lost", n)
}

// post creates a post. The request is accepted once its handler has asked for
// the body: before that, HTTP lets a server close a connection at any time.
func (p *process) post(client *http.Client, title string) (accepted bool, status int, err error) {
	body := strings.NewReader(`{"title": "` + title + `", "author_id": 1}`)
	req, err := http.NewRequest(http.MethodPost, "http://"+p.addr+"/api/posts", body)
	if err != nil {
		return true, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	trace := &httptrace.ClientTrace{Got100Continue: func() { accepted = true }}
	req.Header.Set("Expect", "100-continue")
	resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return accepted, 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return true, resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// A process is the program while it runs.
type process struct {
	cmd      *exec.Cmd
	greeting string // What it printed.
	addr     string // What it listens on.
	stderr   bytes.Buffer
}

func startProcess(t *testing.T, program string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), program)}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = environment("127.0.0.1:0")
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })

	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		p.greeting += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "/api/hits") {
			break
		}
	}
	found := regexp.MustCompile(`Open http://(\S+) in a browser`).FindStringSubmatch(p.greeting)
	require.NotNil(t, found, "no URL in %q, %s", p.greeting, &p.stderr)
	p.addr = found[1]
	return p
}

// environment is this process's, with an address to listen on and nothing else
// for the program.
func environment(addr string) []string {
	ours := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "EXAMPLE_") })
	return append(ours, "EXAMPLE_ADDR="+addr)
}

// tryCurlLines runs the lines that the program prints for that.
func (p *process) tryCurlLines(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		dbtest.Skip(t, "needs curl, which is not installed here")
	}
	var answers []string
	for line := range strings.Lines(p.greeting) {
		if !strings.HasPrefix(line, "  curl ") {
			continue
		}
		line = strings.Replace(line, "curl", "curl --silent --show-error --fail --noproxy '*'", 1)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
		require.NoError(t, err, line)
		answers = append(answers, string(out))
	}
	require.Len(t, answers, 4)
	require.Contains(t, answers[0], `"title":"One session, three databases"`)
	require.JSONEq(t, `{"id": 3, "title": "Hello", "author_id": 1}`, answers[1])
	require.JSONEq(t, `{"id": 4, "title": "First", "author_id": 3}`, answers[2])
	require.JSONEq(t, `[{"path": "/api/posts", "hits": 1}]`, answers[3])
}

// postSlowly begins a request and returns once it is in its handler's hands,
// which wait for the body. Finish sends that, and returns the status.
func (p *process) postSlowly(t *testing.T) (finish func() int) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))

	const body = `{"title": "Under way", "author_id": 2}`
	_, err = fmt.Fprintf(conn, "POST /api/posts HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", p.addr, len(body))
	require.NoError(t, err)
	answer := bufio.NewReader(conn)
	status, err := answer.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", status)
	_, err = answer.Discard(len("\r\n"))
	require.NoError(t, err)

	return func() int {
		_, err := conn.Write([]byte(body))
		require.NoError(t, err)
		res, err := http.ReadResponse(answer, nil)
		require.NoError(t, err)
		defer res.Body.Close()
		return res.StatusCode
	}
}

// waitForNoListener returns once the process takes no more connections, which
// is to say that it has seen the signal.
func (p *process) waitForNoListener(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, 10*time.Second, 10*time.Millisecond)
}
