package sqlite_test

import (
	neturl "net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
)

// TestFileNamesAreLiteral opens files whose names look like parameters.
func TestFileNamesAreLiteral(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"plain.db", "with space.db", "a?mode=ro.db", "a#b.db", "100%.db", "a%20b.db", "a;b.db", "a&_pragma=foreign_keys(0).db",
		"a?_pragma=foreign_keys(0)&x=.db", "ü–日本.db", "'quoted\".db", "file:x.db", "a:memory:", "a+b=c.db", "\\back.db", "-dash", "*?[]", "?x", "\xff.db",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for _, u := range []*driver.URL{
				{Scheme: "sqlite", Database: name},
				{Scheme: "sqlite", Database: filepath.Join(folder, "abs"+name)},
				{Scheme: "sqlite", Database: "file:uri" + name, Query: neturl.Values{"uri": {"true"}}},
			} {
				connector, err := lite().Connector(u, driver.Options{InstancePath: folder})
				require.NoError(t, err)
				db := openConnector(t, connector)
				run(t, db, "CREATE TABLE x (id INTEGER)")
				require.Equal(t, 1, one[int](t, db, "PRAGMA foreign_keys"))
				require.NoError(t, db.Close())
			}
			for _, want := range []string{name, "abs" + name, "uri" + name} {
				require.FileExists(t, filepath.Join(folder, want))
			}
			entries, err := os.ReadDir(folder)
			require.NoError(t, err)
			require.Len(t, entries, 3)
		})
	}
}

func TestLocations(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, tt := range []struct {
		name, url string
		file      string // Relative to the instance folder; none for memory.
	}{
		{name: "memory", url: "sqlite://"},
		{name: "memory by no name", url: "sqlite:///"},
		{name: "memory by name", url: "sqlite:///:memory:"},
		{name: "memory as a URI", url: "sqlite:///file::memory:?uri=true"},
		{name: "memory by mode", url: "sqlite:///x.db?mode=memory"},
		{name: "memory in WAL mode", url: "sqlite://?journal_mode=wal"},
		{name: "relative", url: "sqlite:///rel.db", file: "rel.db"},
		{name: "relative URI", url: "sqlite:///file:rel2.db?uri=true", file: "rel2.db"},
		{name: "upwards", url: "sqlite:///../up.db", file: "../up.db"},
		{name: "not a URI", url: "sqlite:///rel3.db?uri=false", file: "rel3.db"},
		{name: "looks like a URI", url: "sqlite:///file:rel4.db?uri=0", file: "file:rel4.db"},
		{name: "absolute", url: "sqlite:///" + base + "/abs.db", file: "../abs.db"},
		{name: "absolute URI", url: "sqlite:///file:" + base + "/abs2.db?uri=true", file: "../abs2.db"},
		{name: "URI with an empty host", url: "sqlite:///file://" + base + "/abs3.db?uri=true", file: "../abs3.db"},
		{name: "URI with localhost", url: "sqlite:///file://localhost" + base + "/abs4.db?uri=true", file: "../abs4.db"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			instance := filepath.Join(base, "instance")
			connector, err := connect(t, tt.url, driver.Options{InstancePath: instance})
			require.NoError(t, err)
			run(t, openConnector(t, connector), "CREATE TABLE x (id INTEGER)")
			if tt.file != "" {
				require.FileExists(t, filepath.Join(instance, tt.file))
			}
		})
	}
}

// TestInstanceFolder is made for relative names only, and nothing else is made
// before the first connection.
func TestInstanceFolder(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	instance := filepath.Join(base, "a", "b")
	for _, url := range []string{"sqlite://", "sqlite:///" + base + "/abs.db", "sqlite:///:memory:", "sqlite:///file:" + base + "/abs.db?uri=true"} {
		_, err := connect(t, url, driver.Options{InstancePath: instance})
		require.NoError(t, err)
		require.NoDirExists(t, instance)
	}
	_, err := connect(t, "sqlite:///sub/rel.db", driver.Options{InstancePath: instance})
	require.NoError(t, err)
	require.DirExists(t, instance)
	require.NoDirExists(t, filepath.Join(instance, "sub"))
	require.NoFileExists(t, filepath.Join(base, "abs.db"))

	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = connect(t, "sqlite:///rel.db", driver.Options{InstancePath: file})
	require.ErrorContains(t, err, "instance folder")
	require.ErrorContains(t, err, file)
}

func TestRefusedLocations(t *testing.T) {
	t.Parallel()
	const secret = "S3cr3tPw"
	var withPassword driver.URL
	withPassword.SetPassword(secret)
	for _, tt := range []struct {
		name string
		url  driver.URL
		text string
	}{
		{"host", driver.URL{Host: "rel.db"}, "sqlite:///relative/file.db"},
		{"port", driver.URL{Port: 1}, "sqlite:////absolute/file.db"},
		{"user", driver.URL{User: "u"}, "sqlite:// (memory)"},
		{"password", withPassword, "valid forms"},
		{"NUL", driver.URL{Database: "a\x00b"}, "NUL"},
		{"URI without file:", driver.URL{Database: "x.db", Query: neturl.Values{"uri": {"true"}}}, `"uri=true"`[1:8]},
		{"URI with a host", driver.URL{Database: "file://there/x.db", Query: neturl.Values{"uri": {"true"}}}, "there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := lite().Connector(&tt.url, driver.Options{InstancePath: t.TempDir()})
			require.ErrorContains(t, err, tt.text)
			require.NotContains(t, err.Error(), secret)
		})
	}
}
