package echobun_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// childFile names the file that a child process writes, instead of running
// tests; childHolds has it keep the lock of a writer.
const (
	childFile  = "ECHOBUN_TEST_CHILD_FILE"
	childHolds = "ECHOBUN_TEST_CHILD_HOLDS"
)

// isChild runs the child process, if this is one, until it is killed.
func isChild() bool {
	path := os.Getenv(childFile)
	if path == "" {
		return false
	}
	if err := runChild(path, os.Getenv(childHolds) != ""); err != nil {
		fmt.Println("error", err)
	}
	return true
}

func runChild(path string, holds bool) error {
	x, err := echobun.New(echobun.Config{Binds: echobun.Binds{"meta": {URL: "sqlite:///" + path}}})
	if err != nil {
		return err
	}
	if err := x.Register((*fileRow)(nil)); err != nil {
		return err
	}
	ctx, end := x.AppContext(context.Background())
	defer end()
	db, err := x.Session(ctx)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return writePair(ctx, tx, n, holds)
		}); err != nil {
			return err
		}
		fmt.Println("written", n)
	}
}

// writePair writes two rows of one text. The text is long, so that a process
// is often killed while it writes.
func writePair(ctx context.Context, tx *echobun.Session, n int, hold bool) error {
	text := fmt.Sprintf("%d/%d %s", os.Getpid(), n, strings.Repeat("x", 5000))
	for range 2 {
		if err := writeFileRow(ctx, tx, text); err != nil {
			return err
		}
		if hold {
			fmt.Println("holding")
			time.Sleep(time.Minute)
		}
	}
	return nil
}

// A writer is a child process that writes a file.
type writer struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startWriter(t *testing.T, path string, env ...string) *writer {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	w := &writer{cmd: exec.CommandContext(t.Context(), self)}
	w.cmd.Env = append(append(os.Environ(), childFile+"="+path), env...)
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	require.NoError(t, err)
	w.lines = bufio.NewScanner(out)
	require.NoError(t, w.cmd.Start())
	return w
}

// kill kills the process, and returns what else it had said.
func (w *writer) kill(t *testing.T) (said []string) {
	t.Helper()
	require.NoError(t, w.cmd.Process.Kill())
	for w.lines.Scan() {
		said = append(said, w.lines.Text())
	}
	require.Error(t, w.cmd.Wait())
	return said
}

// While another process holds the lock, writers fail in time and say why,
// readers do not notice; when it has gone, all is well.
func TestSQLiteLockedByAnotherProcess(t *testing.T) {
	t.Parallel()
	path := newRows(t)
	ctx, x, db := openFile(t, path, "?busy_timeout=200")
	require.NoError(t, writeFileRow(ctx, db, "before"))
	w := startWriter(t, path, childHolds+"=1")
	require.True(t, w.lines.Scan())
	require.Equal(t, "holding", w.lines.Text())

	for range 3 {
		start := time.Now()
		requireFileError(t, writeFileRow(ctx, db, "refused"), path, echobun.ErrSerialization, "locked")
		require.Less(t, time.Since(start), 10*time.Second)
		n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	}
	short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	err := writeFileRow(short, db, "refused") // Its deadline comes while the lock is tried, or between two attempts.
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `bind "meta"`)

	w.kill(t)
	require.NoError(t, writeFileRow(ctx, db, "after"))
	requireAtRest(t, x)
	requireSound(t, path, 3)
}

// A process that is killed amid its writes leaves a sound file with all that
// it had acknowledged, and nothing half done; the others go on.
func TestSQLiteWriterIsKilled(t *testing.T) {
	t.Parallel()
	path := newRows(t)
	ctx, x, db := openFile(t, path, "")
	kills, acknowledged := times(15, 100), 0
	for range kills {
		w := startWriter(t, path)
		require.True(t, w.lines.Scan())
		said := []string{w.lines.Text()}
		time.Sleep(rand.N(20 * time.Millisecond))
		said = append(said, w.kill(t)...)
		acknowledged += len(said)

		require.NoError(t, writeFileRow(ctx, db, "parent"))
		requireAcknowledged(ctx, t, db, w.cmd.Process.Pid, said)
	}
	requireAtRest(t, x)
	n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
	require.NoError(t, err)
	requireSound(t, path, int(n))
	t.Logf("%d kills, %d transactions acknowledged, %d rows", kills, acknowledged, n)
}

// requireAcknowledged requires both rows of each transaction that a process
// has acknowledged, both or none of one more, and a sound file.
func requireAcknowledged(ctx context.Context, t *testing.T, db *echobun.Session, pid int, said []string) {
	t.Helper()
	for n, line := range said {
		require.Equal(t, "written "+strconv.Itoa(n), line)
	}
	var whole []int
	err := db.Bind("meta").NewRaw("SELECT count(*) FROM file_rows WHERE text LIKE ? GROUP BY text", strconv.Itoa(pid)+"/%").Scan(ctx, &whole)
	require.NoError(t, err)
	for _, n := range whole {
		require.Equal(t, 2, n)
	}
	require.GreaterOrEqual(t, len(whole), len(said))
	require.LessOrEqual(t, len(whole), len(said)+1)
	var verdict string
	require.NoError(t, db.Bind("meta").QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
}
