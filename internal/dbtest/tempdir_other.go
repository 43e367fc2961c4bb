//go:build !linux

package dbtest

// tempRoot returns where the servers' folders go: where the system says.
func tempRoot() string { return "" }
