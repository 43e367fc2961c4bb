// Package otelechobun makes OpenTelemetry spans and metrics of what an echobun
// extension does, by the semantic conventions for database clients (v1.43.0).
// It is a module of its own, so that echobun itself depends on none of this.
//
//	otelechobun.Instrument(&cfg)
//	ext, err := echobun.New(cfg)
//	...
//	pools, err := otelechobun.RegisterPoolMetrics(ext)
//	...
//	defer pools.Unregister()
//
// # Spans
//
// Every statement that Bun sends is a span of kind client, named after the
// operation and the table, or else the database or the server: "SELECT books",
// "INSERT users", "COMMIT shop". It has db.system.name, db.operation.name,
// db.collection.name, db.namespace, server.address and server.port as far as
// they are known, db.query.text, and [BindKey]; if it failed,
// db.response.status_code and error.type. The text is a template: neither
// arguments nor literals are in it, and it ends after 8 KiB. The status has
// the error's message, without what the database quotes in it.
//
// Each transaction is a span of kind internal on each bind that takes part,
// named "transaction" and the database, with [OutcomeKey]. It is the parent of its
// statements, from BEGIN to COMMIT or ROLLBACK, and ends whatever becomes of the
// transaction. A statement that would be in another span links to that. This
// holds for a session's transactions, for Bind(...).RunInTx with the context
// that its function gets, and for Bun's RunInTx on an engine; of one that
// BeginTx began, only BEGIN, COMMIT and ROLLBACK are known to belong to it. In
// a two-phase transaction PREPARE ends the span; COMMIT PREPARED comes after it.
//
// A statement's span is made when the statement is over. So it is in no context
// meanwhile: spans that a driver or another hook makes do not become its children.
//
// # Metrics
//
// db.client.operation.duration is a histogram over all statements, with the
// attributes of their spans but the text. [RegisterPoolMetrics] adds
// db.client.connection.count, max, idle.max, pending_requests and timeouts of
// each bind's pool. The conventions' histograms of the time that it takes to
// wait for, to make and to use a connection are not there: database/sql tells
// sums at best.
//
// # Why not bunotel or otelsql
//
// Bun's own bunotel (v1.2.18 builds with Bun 1.3.0) names things by the
// conventions v1.12 and v1.20, its histogram is go.sql.query_timing in whole
// milliseconds, it knows nothing of status codes, and it leaves literals in the
// text, among them the keys of related rows that Bun writes into it. It ends
// the span of BEGIN when BEGIN is over, and statements of a session's
// transaction, which come with the caller's context, have no way to it. Its
// Init registers pool metrics that nobody can unregister.
//
// XSAM/otelsql (v0.44.0) wraps a driver, or opens a pool of its own: echobun
// would have to take that as EngineOptions.DB and lose PoolTimeout, Credentials
// and the kinds of errors. It sees the finished statement, arguments included,
// names operations after methods of database/sql, as sql.conn.query, and has no
// span of a transaction. Its RegisterDBStatsMetrics works with any
// pool, and still has the old names, as db.sql.connection.open.
//
// What is theirs to give is taken from OpenTelemetry itself: the attributes and
// instruments come from its semconv packages.
package otelechobun
