package dbtest

import (
	"os"
	"syscall"
)

const (
	memoryRoot = "/dev/shm"
	// memoryEnough is the room for the servers of a whole run: a small file
	// system in memory, a container's for example, is left to the servers' own use.
	memoryEnough = 4 << 30
)

// tempRoot returns where the servers' folders go: in memory where there is
// room for them, unless TMPDIR says where. On a disk they take several times
// as long to set up.
func tempRoot() string {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memoryRoot, &fs) != nil {
		return ""
	}
	if fs.Bavail*uint64(fs.Bsize) < memoryEnough || syscall.Access(memoryRoot, 2) != nil {
		return ""
	}
	return memoryRoot
}
