// Package survive tests an application whose databases fail: servers that are
// killed, demoted or out of reach, networks that are slow or silent, clients
// that leave and handlers that panic. It is a module of its own, so that
// Toxiproxy is no dependency of the library.
//
// Time limits are measured in a short form that bears with a busy machine;
// ECHOBUN_LONG=1 makes the tests longer and holds them to their figures.
package survive
