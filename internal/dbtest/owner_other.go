//go:build !unix

package dbtest

import "syscall"

// owner is who runs the servers: only Unix systems run any.
type owner struct{}

func findOwner([]string) (owner, error)    { return owner{}, errMissing }
func (o owner) attr() *syscall.SysProcAttr { return nil }
func (o owner) take(string) error          { return nil }
