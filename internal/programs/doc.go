// Package programs holds a test that runs random programs of transactions on
// three binds, and compares what they are told, and what is there afterwards,
// with a model of what a transaction is.
package programs
