// Package soak holds a test that keeps an application under load, with faults
// switched on and off, and compares what its clients were told with what is in
// its databases.
package soak
