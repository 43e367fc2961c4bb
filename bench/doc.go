// Package bench compares echobun with the other ways to use several databases
// from an Echo application. Run it with
//
//	make bench
//
// which writes RESULTS.md and its plots. Package peer has a file for each
// peer, package work one for each kind of work, package measure runs what is
// compared in turns, and package report says what came out.
package bench
