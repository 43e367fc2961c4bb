// Package response has the [http.ResponseWriter]s that stand between a handler
// and its client: [Atomic] holds a response back until the request's unit of work
// is committed, and [Timing] adds a Server-Timing header to it. They know no
// web framework and no database.
//
// Both live for one request. The middleware puts them before the writer that
// came in, Timing first, so that it tells of the commit too, and takes Atomic out
// again at the end.
package response
