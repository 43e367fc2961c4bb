// Package failpoint names the steps at which a test may kill the process. In
// a build without the tag "failpoint" a step does nothing and costs nothing.
package failpoint
