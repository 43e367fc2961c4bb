package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/echobun/echobun/driver"
)

const memoryName = ":memory:"

var (
	errForms = errors.New("sqlite: URL with a user, password, host or port: valid forms are sqlite:// (memory), " +
		"sqlite:///relative/file.db, sqlite:////absolute/file.db and sqlite:///file:name?uri=true")
	errNulName = errors.New("sqlite: file name with a NUL byte")
)

// A location is where a database is: a file, or memory.
type location struct {
	memory bool
	shared string // Name of a database in memory that engines share; empty: one engine's own.
	path   string // Absolute name of the file.
}

// String is how errors name the database.
func (l location) String() string {
	if l.memory {
		return "memory"
	}
	return fmt.Sprintf("%q", l.path)
}

// locate reads the URL. The settings say whether its database is a file: URI.
func locate(u *driver.URL, s *settings, instance string) (location, error) {
	if u.User != "" || u.Password() != "" || u.Host != "" || u.Port != 0 {
		return location{}, errForms
	}
	name := u.Database
	if strings.IndexByte(name, 0) >= 0 {
		return location{}, errNulName
	}
	if s.uri {
		var err error
		if name, err = cutURI(name); err != nil {
			return location{}, err
		}
	}
	if l, ok := inMemory(name, s); ok {
		return l, nil
	}
	path, err := absolute(name, instance)
	return location{path: path}, err
}

// cutURI returns the file name in a file: URI. Its percent-encoding is gone
// already, and its parameters are those of the URL.
func cutURI(uri string) (string, error) {
	name, ok := strings.CutPrefix(uri, "file:")
	if !ok {
		return "", fmt.Errorf("sqlite: parameter uri=true: the database %q does not start with \"file:\"", uri)
	}
	rest, ok := strings.CutPrefix(name, "//")
	if !ok {
		return name, nil
	}
	authority, path, _ := strings.Cut(rest, "/")
	if authority != "" && authority != "localhost" {
		return "", fmt.Errorf("sqlite: host %q in the file: URI: write file:/path or file:///path", authority)
	}
	return "/" + path, nil
}

// inMemory reports whether the name, or the parameters beside it, ask for
// memory.
func inMemory(name string, s *settings) (location, bool) {
	switch {
	case s.vfs() == "memdb":
		return location{memory: true, shared: sharedName("memdb", name, strings.HasPrefix(name, "/"))}, true
	case name == "" || name == memoryName || s.memory():
		return location{memory: true, shared: sharedName("cache", name, s.sharedCache())}, true
	default:
		return location{}, false
	}
}

func sharedName(kind, name string, shared bool) string {
	if !shared || name == "" {
		return ""
	}
	return kind + "/" + name
}

// absolute puts a relative name under the instance folder, which it makes. It
// does not clean the name: what ".." means is up to the file system.
func absolute(name, instance string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	folder, err := filepath.Abs(instance)
	if err != nil {
		return "", fmt.Errorf("sqlite: instance folder %q: %w", instance, err)
	}
	if instance != "" {
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return "", fmt.Errorf("sqlite: make the instance folder %q: %w", folder, err)
		}
	}
	return folder + string(filepath.Separator) + name, nil
}

const upperHex = "0123456789ABCDEF"

// escape writes an absolute file name as it goes into a file: URI: no byte in
// it can end the name or start a parameter.
func escape(path string) string {
	path = filepath.ToSlash(path)
	var b strings.Builder
	if !strings.HasPrefix(path, "/") {
		b.WriteByte('/') // Before a drive letter.
	}
	for i := range len(path) {
		c := path[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/._-", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// explain says why a file cannot be opened, as far as a look at it tells.
func (l location) explain() string {
	if l.memory {
		return ""
	}
	folder := filepath.Dir(l.path)
	switch info, err := os.Stat(folder); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("folder %q does not exist: make it first, only the instance folder is made", folder)
	case err == nil && !info.IsDir():
		return fmt.Sprintf("%q is not a folder", folder)
	}
	switch info, err := os.Stat(l.path); {
	case err == nil && info.IsDir():
		return "it is a folder"
	case errors.Is(err, os.ErrNotExist):
		return "the file does not exist and cannot be made: look at the permissions of its folder and at the parameter mode"
	default:
		return "look at the permissions of the file and its folder"
	}
}
