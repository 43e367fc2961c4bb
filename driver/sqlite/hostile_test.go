package sqlite_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/hostile"
)

// A file name in a URL, whatever it holds, is the name of a file in its
// folder, or is refused: it is no parameter, and no database in memory.
func TestHostileFileNames(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, evil := range hostile.Payloads(t, hostile.Number(60)) {
		name := "f" + strings.ReplaceAll(evil, "/", "|")
		u, err := driver.ParseURL("sqlite:///" + folder + "/" + url.PathEscape(name))
		if err != nil {
			continue
		}
		require.Empty(t, u.Query, "%q", evil)
		connector, err := lite().Connector(u, driver.Options{})
		if err != nil {
			require.NotContains(t, err.Error(), "\x00")
			continue
		}
		conn, err := connector.Connect(context.Background())
		if err != nil { // Too long.
			require.Greater(t, len(name), 200, "%q: %v", name, err)
			continue
		}
		_, err = os.Stat(filepath.Join(folder, name))
		require.NoError(t, conn.Close())
		require.NoError(t, err, "%q is where it was asked for", name)
	}
	entries, err := os.ReadDir(filepath.Dir(folder))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing outside of the folder")
}

// A parameter's value is no second statement and no other parameter.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, evil := range hostile.Payloads(t, hostile.Number(500)) {
		for _, name := range []string{"_pragma", "journal_mode", "synchronous", "foreign_keys", "busy_timeout", "_txlock", "mode", "cache", evil} {
			u, err := driver.ParseURL("sqlite:///f.db?" + url.QueryEscape(name) + "=" + url.QueryEscape(evil))
			if err != nil {
				continue
			}
			_, err = lite().Connector(u, driver.Options{InstancePath: folder})
			if name == "_pragma" && err == nil {
				require.NotContains(t, evil, ";")
			} else if name != "_pragma" && evil != "" && evil != "true" {
				require.Error(t, err, "%q=%q", name, evil)
			}
		}
	}
}
