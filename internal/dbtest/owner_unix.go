//go:build unix

package dbtest

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is who runs the servers and owns their files. The zero value is who
// runs the tests.
type owner struct{ credential *syscall.Credential }

// findOwner returns an unprivileged user in place of root, for whom the
// servers refuse to run: the first of names that exists.
func findOwner(names []string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	var last error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			last = err
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return owner{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return owner{}, last
}

// attr makes a process the owner's. It gets a process group of its own, so
// that an interrupt from the terminal leaves its end to this package.
func (o owner) attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: o.credential}
}

// take makes a file or folder the owner's.
func (o owner) take(path string) error {
	if o.credential == nil {
		return nil
	}
	return os.Chown(path, int(o.credential.Uid), int(o.credential.Gid))
}
