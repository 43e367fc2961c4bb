package echobun_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// freeze makes a file or folder one that can only be read, until thaw is
// called. Root ignores permissions, so for root it is mounted read-only.
func freeze(t *testing.T, path string) (thaw func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		unmount := mount(t, path, "--bind", path)
		out, err := asRoot(t, "mount", "-o", "remount,bind,ro", path)
		require.NoError(t, err, out)
		return unmount
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, info.Mode().Perm()&^0o222))
	thaw = func() { require.NoError(t, os.Chmod(path, info.Mode().Perm())) }
	t.Cleanup(thaw)
	return thaw
}

// newRows makes a file with a row, which nobody has open then.
func newRows(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rows.db")
	x, err := echobun.New(echobun.Config{Binds: echobun.Binds{"meta": {URL: "sqlite:///" + path}}})
	require.NoError(t, err)
	require.NoError(t, x.Register((*fileRow)(nil)))
	ctx, end := x.AppContext(t.Context())
	require.NoError(t, x.CreateAll(ctx))
	db, err := x.Session(ctx)
	require.NoError(t, err)
	require.NoError(t, writeFileRow(ctx, db, "first"))
	end()
	require.NoError(t, x.Close())
	return path
}

// A file that cannot be written is read, and says so when it should be
// written. When it can be, it is, on the same engine.
func TestSQLiteReadOnlyFile(t *testing.T) {
	t.Parallel()
	path := newRows(t)
	thaw := freeze(t, path)
	ctx, x, db := openFile(t, path, "")
	for range 3 {
		n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		requireFileError(t, writeFileRow(ctx, db, "refused"), path, echobun.ErrReadOnly, "readonly")
		requireFileError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return writeFileRow(ctx, tx, "refused")
		}), path, echobun.ErrReadOnly, "readonly")
	}
	thaw()
	require.NoError(t, writeFileRow(ctx, db, "second"))
	require.NoError(t, writeFileRow(ctx, db, "third"))
	requireAtRest(t, x)
	requireSound(t, path, 3)
}

// In a folder that cannot be written SQLite can make neither its log nor a new
// file: that is a database that is not to be had, and the error says where.
func TestSQLiteReadOnlyFolder(t *testing.T) {
	t.Parallel()
	for name, existing := range map[string]bool{"existing file": true, "new file": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, rows := newRows(t), 1
			if !existing {
				require.NoError(t, os.Remove(path))
				rows = 0
			}
			thaw := freeze(t, filepath.Dir(path))
			ctx, x, db := openFile(t, path, "")
			for range 3 {
				err := writeFileRow(ctx, db, "refused")
				var bind *echobun.BindError
				require.ErrorAs(t, err, &bind)
				require.Equal(t, "meta", bind.Bind)
				require.ErrorContains(t, err, "rows.db")
				require.ErrorIs(t, err, echobun.ErrUnavailable)
				require.ErrorContains(t, err, "permissions")
			}
			thaw()
			require.NoError(t, x.CreateAll(ctx))
			require.NoError(t, writeFileRow(ctx, db, "second"))
			requireAtRest(t, x)
			requireSound(t, path, rows+1)
		})
	}
}

// mode=ro does the same to a file that could be written.
func TestSQLiteModeReadOnly(t *testing.T) {
	t.Parallel()
	path := newRows(t)
	ctx, x, db := openFile(t, "file:"+path, "?mode=ro&uri=true")
	requireFileError(t, writeFileRow(ctx, db, "refused"), path, echobun.ErrReadOnly, "readonly")
	n, err := db.NewSelect().Model((*fileRow)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	requireAtRest(t, x)
	requireSound(t, path, 1)
}
