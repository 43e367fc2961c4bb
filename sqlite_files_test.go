package echobun_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// A fileRow is a row of a SQLite file with something wrong.
type fileRow struct {
	metaModel

	ID   int64  `bun:",pk,autoincrement"`
	Text string `bun:",notnull"`
}

// openFile returns an extension whose bind "meta" is a file, and its session.
func openFile(t *testing.T, path, query string) (context.Context, *echobun.Extension, *echobun.Session) {
	t.Helper()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"meta": {URL: "sqlite:///" + path + query}}}, (*fileRow)(nil))
	ctx, db := newSession(t, x)
	return ctx, x, db
}

// write writes a row.
func writeFileRow(ctx context.Context, db *echobun.Session, text string) error {
	_, err := db.NewInsert().Model(&fileRow{Text: text}).Exec(ctx)
	return err
}

// requireSound requires that the file is whole and has so many rows, seen by
// an engine that does not know what happened.
func requireSound(t *testing.T, path string, rows int) {
	t.Helper()
	ctx, _, db := openFile(t, path, "")
	var verdict string
	require.NoError(t, db.Bind("meta").QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, rows, n)
}

// requireFileError requires that an error says which bind and which file.
func requireFileError(t *testing.T, err error, path string, is error, text string) {
	t.Helper()
	var bind *echobun.BindError
	require.ErrorAs(t, err, &bind)
	require.Equal(t, "meta", bind.Bind)
	require.ErrorIs(t, err, is)
	require.ErrorContains(t, err, filepath.Base(path))
	require.ErrorContains(t, err, text)
}

// mount runs mount(8), as root or by sudo, and undoes it when the test ends.
// A machine that does not let us skips the test, or fails it with CI=true.
func mount(t *testing.T, folder string, args ...string) (unmount func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		dbtest.Skip(t, "needs Linux's mount")
	}
	if out, err := asRoot(t, "mount", append(args, folder)...); err != nil {
		dbtest.Skip(t, fmt.Sprintf("needs to mount a file system as root, or by sudo without a password: %v: %s", err, out))
	}
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			out, err := asRoot(t, "umount", "--lazy", folder)
			require.NoError(t, err, out)
		}
	}
	t.Cleanup(unmount)
	return unmount
}

func asRoot(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		name, args = "sudo", append([]string{"-n", name}, args...)
	}
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...).CombinedOutput()
	return string(out), err
}

// A full disk fails what does not fit, and nothing else: what was acknowledged
// is there, and writing goes on as soon as there is room.
func TestSQLiteDiskFull(t *testing.T) {
	t.Parallel()
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join(t.TempDir(), "small")
		require.NoError(t, os.Mkdir(folder, 0o755))
		mount(t, folder, "-t", "tmpfs", "-o", "size=2m,mode=0777", "echobun-test")
		ballast := filepath.Join(folder, "ballast")
		require.NoError(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o600))
		fillUp(t, filepath.Join(folder, "full.db"), "", func(context.Context, *echobun.Session) {
			require.NoError(t, os.Remove(ballast))
		})
	})
	t.Run("file", func(t *testing.T) { // Where nothing can be mounted, a file that may not grow.
		t.Parallel()
		fillUp(t, filepath.Join(t.TempDir(), "full.db"), "?_pragma=max_page_count(100)", func(ctx context.Context, db *echobun.Session) {
			_, err := db.NewDelete().Model((*fileRow)(nil)).Where("text = ?", "ballast").Exec(ctx)
			require.NoError(t, err)
		})
	})
}

// fillUp writes until nothing fits any more, has room made, and goes on.
func fillUp(t *testing.T, path, query string, makeRoom func(context.Context, *echobun.Session)) {
	t.Helper()
	ctx, x, db := openFile(t, path, query)
	require.NoError(t, x.CreateAll(ctx))
	const big = 20_000
	text := fmt.Sprintf("%0*d", big, 1)
	rows := 0
	var err error
	for range 1000 {
		if err = writeFileRow(ctx, db, text); err != nil {
			break
		}
		rows++
	}
	requireFileError(t, err, path, echobun.ErrUnavailable, "full")

	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		for range 10 {
			if err := writeFileRow(ctx, tx, text); err != nil {
				require.ErrorIs(t, writeFileRow(ctx, tx, "small"), echobun.ErrTxDoomed)
				return err
			}
		}
		return nil
	})
	requireFileError(t, err, path, echobun.ErrUnavailable, "full")
	n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
	require.NoError(t, err, "reading goes on")
	require.EqualValues(t, rows, n)

	if query != "" {
		_, err = db.NewUpdate().Model((*fileRow)(nil)).Set("text = 'ballast'").Where("id <= 10").Exec(ctx)
		require.NoError(t, err)
	}
	makeRoom(ctx, db)
	n, err = db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, writeFileRow(ctx, db, text))
	}
	requireAtRest(t, x)
	requireSound(t, path, int(n)+5)
}
