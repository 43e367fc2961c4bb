// Package bridge lets the packages of this module that help with tests reach
// what the root package does not export.
package bridge

// isolate is set by the root package.
var isolate func(extension any) (end func() error, err error)

// SetIsolate is called by the root package. It returns a value so that it can
// be called in a declaration.
func SetIsolate(f func(extension any) (end func() error, err error)) bool {
	isolate = f
	return true
}

// Isolate isolates an *echobun.Extension until end is called.
func Isolate(extension any) (end func() error, err error) { return isolate(extension) }
