// Package crashtest kills processes and servers in the middle of two-phase
// commits and looks whether all databases agree afterwards. Its tests need the
// build tag "failpoint"; run them with "make crash-test".
package crashtest
