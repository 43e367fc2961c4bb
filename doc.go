// Package echobun gives an Echo application several databases at once: it
// brings the binds of Flask-SQLAlchemy to Go, on the Bun SQL builder. Each
// database has a short bind key, each model and table says which it is on,
// and a session sends every query to the database of what is being queried.
//
// # Setup
//
// A kind of database comes in with a blank import of its package below
// driver/. [New] makes an [Extension] with an engine, a *bun.DB, for each
// bind of a [Config], and opens no connection:
//
//	import _ "github.com/echobun/echobun/driver/pgx"
//
//	ext, err := echobun.New(echobun.Config{
//		DatabaseURI: "postgresql://app:secret@db/app",
//		Binds:       echobun.Binds{"auth": {URL: "mysql://app:secret@auth/users"}},
//	})
//
// The configuration can also be read from JSON, YAML and, with
// [ConfigFromEnv], the environment.
//
// # Declaring
//
// A model is a Bun model. Its bind is what its BindKey method returns (see
// [BindKeyer]), the default bind without one; embedding a type with that
// method is enough. A [Table] is a table without a struct.
// [Extension.Register] declares them, [Extension.CreateAll] and
// [Extension.DropAll] make and drop what is declared.
//
// # Sessions
//
// [Extension.Middleware] gives each request a [Session], in c.Get("db") and
// in the request's context:
//
//	e.Use(middleware.Recover(), ext.Middleware())
//	e.GET("/users", func(c echo.Context) error {
//		db := c.Get("db").(*echobun.Session)
//		var users []User
//		if err := db.NewSelect().Model(&users).Scan(c.Request().Context()); err != nil {
//			return err
//		}
//		return c.JSON(http.StatusOK, users)
//	})
//
// The model or table comes first, then everything is Bun. [Session.Bind] and
// [Session.For] aim raw SQL, and give a bun.IDB to code that wants one.
// Commands, jobs and tests make an app context with [Extension.AppContext]
// and ask [Extension.Session] for its session.
//
// # Transactions
//
// [Session.RunInTx] is one unit of work over all binds: it begins on each at
// its first statement there, and nested ones are savepoints. A failed
// statement dooms it, on every database alike. Binds commit one after the
// other; a [*CommitError] says which have, when not all did. [Session.Begin]
// is the same without a function, and [Session.AfterCommit] is for what must
// only happen once it is done.
//
// # Atomic requests
//
// [MiddlewareConfig] with Atomic makes a request one transaction. It commits
// before the client sees anything of the response, and a commit that fails is
// answered by the error handler.
//
// # Two-phase commit
//
// [TxOptions] with TwoPhase makes all binds commit or none, across a crash
// too. [Extension.RecoverPrepared] finishes what a crash leaves prepared; call
// it at start and every minute.
//
// # Operations
//
// [Config] has LogStatements, SlowQuery and RecordQueries, whose records
// [Session.Queries] returns, and LeakThreshold for transactions and result sets
// that stay open. [Extension.HealthHandler] tells the state of each bind,
// [Extension.DebugHandler] shows the last requests with their statements, and
// the module otelechobun traces and measures. [EngineOptions] with Credentials
// asks for a password at each new connection. [Extension.Shutdown] waits for
// what runs, [Extension.Close] does not.
//
// # Testing your application
//
// Package echobuntest isolates tests in a transaction that is rolled back,
// and makes extensions on SQLite in memory.
//
// # Errors
//
// The failure of a statement is a [*BindError]. It names the bind, unwraps to
// the driver's error, and matches [ErrUnique], [ErrForeignKey], [ErrNotNull],
// [ErrCheck], [ErrSerialization], [ErrOutcomeUnknown], [ErrUnavailable],
// [ErrReadOnly] and [ErrPoolTimeout] alike on every database. No error and no
// printed form of anything here contains a password.
//
// # What it does not do
//
// A statement runs on one database: joins and subqueries across binds do not
// exist, relations to a model of another bind are refused by name, and ones
// written by hand are not detected. Nothing is migrated: CreateAll makes what
// is missing and never alters what exists.
package echobun
