package echobun

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
)

// An Extension holds an application's engines and metadatas by bind key. It
// is made once, at start, with [New]; requests reach it through
// [Extension.Middleware], everything else through [Extension.AppContext].
//
// It is safe for concurrent use, [Extension.Register] included. After
// [Extension.Close] everything that needs an engine answers [ErrClosed].
type Extension struct {
	engines     map[string]*engine // Never changes after New.
	known       []string           // Its keys, for errors.
	app         string             // Short name of Config.AppName.
	logger      *slog.Logger
	foreignKeys bool
	logArgs     bool
	running     running
	debug       *debugRequests // What the debug page shows of them.
	words       seenWords      // By the last recovery.

	leakThreshold time.Duration
	failing       *bun.DB // Builds the queries that only carry an error.

	routes    routes
	closed    atomic.Bool
	over      chan struct{} // Closed when Close is done.
	isolating atomic.Bool   // All engines are isolated.
	homes     sync.Map      // Struct types whose bind key was read, reflect.Type to *engine.

	mu        sync.Mutex   // Protects joins, and what the engines know of types.
	joins     []joinModel  // Models of many-to-many tables.
	joinCount atomic.Int64 // len(joins), to be read without mu.
}

// defaultAppName is Config.AppName where it is not set.
const defaultAppName = "app"

// New makes an extension with an engine for each bind of cfg. It opens no
// connection, so it succeeds while servers are down; it reports every mistake
// that can be seen without a server, joined, each a [*ConfigError]. The
// caller's cfg is not modified, and later changes to it have no effect.
func New(cfg Config) (*Extension, error) {
	binds, fault := cfg.resolve()

	x := &Extension{
		engines:     make(map[string]*engine, len(binds)),
		app:         shortName(cmp.Or(cfg.AppName, defaultAppName)),
		logger:      cfg.Logger,
		foreignKeys: cfg.ForeignKeys,
		logArgs:     cfg.LogArgs,
		over:        make(chan struct{}),
		debug:       newDebugRequests(cfg),

		leakThreshold: cfg.LeakThreshold,
		failing:       newFailingDB(),
	}
	if x.logger == nil {
		x.logger = slog.Default()
	}
	x.logger = slog.New(guardedHandler{x.logger.Handler()})

	// A driver may see mistakes where the rest of the configuration has some too.
	faults := []error{fault}
	for i, r := range binds {
		e, err := openEngine(x, r, cfg)
		if err != nil {
			faults = append(faults, &ConfigError{Bind: r.key, Field: r.faultyField(err), Err: err})
			continue
		}
		e.index = i
		x.engines[r.key] = e
	}
	if err := errors.Join(faults...); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	x.known = x.keys()
	return x, nil
}

// faultyField returns the field that a driver does not want: that of the
// credentials, or that which the URL is from.
func (r resolved) faultyField(err error) string {
	if errors.Is(err, driver.ErrNoCredentials) {
		return "Credentials"
	}
	return cmp.Or(r.urlField, "URL")
}

// Engine returns the engine of the default bind, or nil if there is none.
//
// What is done with an engine is Bun's alone: it needs no app context, and
// only its pool, its connections and its errors are this package's. A builder
// of an engine waits for a connection as long as one of a session does
// ([EngineOptions.PoolTimeout]); a transaction or a statement without a builder
// waits as long as its context.
func (x *Extension) Engine() *bun.DB {
	if e, ok := x.engines[DefaultBind]; ok {
		return e.db
	}
	return nil
}

// Engines returns all engines by bind key, in a map of the caller's own.
func (x *Extension) Engines() map[string]*bun.DB {
	engines := make(map[string]*bun.DB, len(x.engines))
	for key, e := range x.engines {
		engines[key] = e.db
	}
	return engines
}

// Metadata returns what is declared on the default bind, or nil if there is
// no default bind.
func (x *Extension) Metadata() *Metadata {
	if e, ok := x.engines[DefaultBind]; ok {
		return e.metadata
	}
	return nil
}

// Metadatas returns all metadatas by bind key, one for each configured bind,
// in a map of the caller's own.
func (x *Extension) Metadatas() map[string]*Metadata {
	metadatas := make(map[string]*Metadata, len(x.engines))
	for key, e := range x.engines {
		metadatas[key] = e.metadata
	}
	return metadatas
}

// Close rolls back what is open and closes every pool that New opened, at
// once: [Extension.Shutdown] waits for those who use them. It returns the
// pools' errors joined, each a [*BindError]. Engines that came in through
// EngineOptions.DB stay open. Calling it again waits until that is done and
// returns nil.
func (x *Extension) Close() error {
	if x.closed.Swap(true) {
		<-x.over
		return nil
	}
	defer close(x.over)
	x.rollBack()

	var errs []error
	for _, key := range x.keys() {
		if err := x.engines[key].close(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// keys returns the bind keys in alphabetical order, the default bind first.
func (x *Extension) keys() []string {
	return slices.Sorted(maps.Keys(x.engines))
}

// engine returns the engine of a bind key, or an *UnknownBindError.
func (x *Extension) engine(key string) (*engine, error) {
	if e, ok := x.engines[key]; ok {
		return e, nil
	}
	return nil, &UnknownBindError{Key: key, Known: x.known}
}

// String tells how many engines there are, and never what their URLs are.
func (x *Extension) String() string {
	return fmt.Sprintf("echobun.Extension(%d engines)", len(x.engines))
}

// GoString is String, so that %#v prints no connector either.
func (x *Extension) GoString() string { return x.String() }

// Format prints String for every verb.
func (x *Extension) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, x.String())
}

// LogValue is String.
func (x *Extension) LogValue() slog.Value { return slog.StringValue(x.String()) }
