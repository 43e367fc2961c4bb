package echobun

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/echobun/echobun/driver"
)

// States that a caller may want to tell apart, all to be matched with [errors.Is].
var (
	// ErrNoAppContext is returned for a context that carries no app context
	// of this extension.
	ErrNoAppContext = errors.New("echobun: no app context: use the context of a request that passed " +
		"the extension's Middleware, or make one with Extension.AppContext")

	// ErrAppContextEnded is returned when the app context has ended: by a
	// session that was kept after its request, and by a goroutine that
	// outlives it. It matches [ErrNoAppContext] too.
	ErrAppContextEnded error = endedError{}

	// ErrClosed is returned by everything that needs an engine after
	// [Extension.Close].
	ErrClosed = errors.New("echobun: extension is closed")

	// ErrOutsideTx is returned by a session that is not the innermost one of
	// the transaction that is open: by a plain session for a context that
	// carries a transaction, and by a transaction's session while one nested
	// in it is open. The statement was not sent.
	ErrOutsideTx = errors.New("outside of the transaction that is open: use the session that the transaction's function was given, " +
		"or Extension.Session of its context")

	// ErrTxDoomed is returned in a transaction after one of its statements
	// has failed, and by its commit: only a rollback is left. It unwraps to
	// that failure. What was done in a nested transaction and rolled back
	// with it dooms nothing.
	ErrTxDoomed = errors.New("transaction is doomed by an earlier failure, only a rollback is left")

	// ErrNotBegun is returned by Commit and Rollback of a session that Begin
	// did not return: RunInTx and the middleware end their transactions
	// themselves, and a plain session has none.
	ErrNotBegun = errors.New("echobun: session was not returned by Begin, so it cannot be committed or rolled back")

	// ErrTwoPhase is returned when a two-phase transaction is not possible:
	// by the second of two binds that cannot prepare transactions, and by a
	// commit that cannot keep its records.
	ErrTwoPhase = errors.New("two-phase transaction is not possible")
)

// Kinds of failure that are the same on every database. A [*BindError]
// matches them with [errors.Is], so a handler answers 409 to [ErrUnique]
// whatever the database is.
var (
	// ErrUnique is a violated unique or primary-key constraint.
	ErrUnique = errors.New("unique constraint violated")
	// ErrForeignKey is a violated foreign-key constraint.
	ErrForeignKey = errors.New("foreign key constraint violated")
	// ErrNotNull is a null in a column that refuses it.
	ErrNotNull = errors.New("not-null constraint violated")
	// ErrCheck is a violated check constraint.
	ErrCheck = errors.New("check constraint violated")
	// ErrSerialization is a serialization failure, a deadlock or a lock that
	// was not granted in time. The same work may succeed when tried again.
	ErrSerialization = errors.New("serialization failure")
	// ErrOutcomeUnknown is a lost reply: the statement may or may not have
	// run. It was not sent a second time.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnavailable is a server that cannot be reached or is not ready. A lost
	// reply is of this kind too: where a failed write is repeated, look for
	// ErrOutcomeUnknown first.
	ErrUnavailable = errors.New("database unavailable")
	// ErrReadOnly is a write to a server, transaction or file that only reads.
	ErrReadOnly = errors.New("database is read-only")
	// ErrInvalidValue is a value that the database cannot store as it is: out of
	// range, too long, or with a character that it does not know. Nothing was
	// stored. Where it can be seen beforehand, nothing was sent.
	ErrInvalidValue = errors.New("value cannot be stored as it is")
	// ErrPoolTimeout is a pool that had no free connection in time. It is
	// ErrUnavailable too if the database was when it was last asked.
	ErrPoolTimeout = errors.New("no free connection in time")
)

// endedError is the type of ErrAppContextEnded.
type endedError struct{}

func (endedError) Error() string {
	return "echobun: app context has ended: work that outlives its request needs its own, " +
		"from Extension.AppContext(context.WithoutCancel(ctx))"
}

func (endedError) Is(target error) bool { return target == ErrNoAppContext }

// classErrors says which sentinel stands for which of a driver's classes.
var classErrors = []struct {
	class driver.Class
	err   error
}{
	{driver.Unique, ErrUnique},
	{driver.ForeignKey, ErrForeignKey},
	{driver.NotNull, ErrNotNull},
	{driver.Check, ErrCheck},
	{driver.Serialization, ErrSerialization},
	{driver.OutcomeUnknown, ErrOutcomeUnknown},
	{driver.Unavailable, ErrUnavailable},
	{driver.ReadOnly, ErrReadOnly},
	{driver.InvalidValue, ErrInvalidValue},
}

// A ConfigError is a mistake in a [Config] or in [TxOptions].
type ConfigError struct {
	Bind  string // Bind key; empty for the default bind and for Config itself.
	Field string // Field of Config or EngineOptions, or the key it was read from; "TxOptions." and its field.
	Err   error  // What is wrong with it.
}

// Error names the bind and the field.
func (e *ConfigError) Error() string {
	if strings.HasPrefix(e.Field, "TxOptions.") {
		return fmt.Sprintf("echobun: %s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("echobun: config of %s: %s: %v", bindName(e.Bind), e.Field, e.Err)
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// A ModelError is a model or a [Table] that cannot be declared or used as it is.
type ModelError struct {
	Model string // Go type of the model, or name of the table.
	Bind  string // Bind key, as far as it is known.
	Err   error  // What is wrong with it.
}

// Error names the model and the bind.
func (e *ModelError) Error() string {
	return fmt.Sprintf("echobun: model %s on %s: %v", plainName(e.Model), bindName(e.Bind), e.Err)
}

// plainName quotes the name of a table that could be taken for something else
// in a log, with a line break in it for instance.
func plainName(name string) string {
	if quoted := strconv.Quote(name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}

// Unwrap returns Err.
func (e *ModelError) Unwrap() error { return e.Err }

// An UnknownBindError is a bind key that has no engine.
type UnknownBindError struct {
	Key   string   // The key that was asked for.
	Known []string // The keys that have an engine, in alphabetical order. All such errors share it: do not change it.
}

// Error names the key, some known keys and the configuration field to fill in.
func (e *UnknownBindError) Error() string {
	if e.Key == DefaultBind {
		return fmt.Sprintf("echobun: no engine for the default bind: set Config.DatabaseURI, or give the model a BindKey (known: %s)",
			bindNames(e.Known))
	}
	return fmt.Sprintf("echobun: no engine for bind %q: add it to Config.Binds (known: %s)", showKey(e.Key), bindNames(e.Known))
}

// A BindError is the failure of a statement, a transaction or a connection on
// one bind. It unwraps to the driver's own error, and matches the kinds of
// failure above with [errors.Is].
type BindError struct {
	Bind string // Bind key.
	Op   string // What failed: "SELECT", "INSERT", "CREATE TABLE", "BEGIN", "COMMIT", "connect".
	Err  error  // The driver's error.

	class driver.Class
}

// Error names the bind and what failed.
func (e *BindError) Error() string {
	return fmt.Sprintf("echobun: %s: %s: %v", bindName(e.Bind), e.Op, e.Err)
}

// Unwrap returns Err.
func (e *BindError) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel of a kind of failure that this
// error is of.
func (e *BindError) Is(target error) bool {
	for _, c := range classErrors {
		if c.err == target {
			return e.class&c.class != 0
		}
	}
	return false
}

// A CommitError is a transaction of which some binds have committed, or may
// have, and others have not. All are listed by their bind keys. It unwraps to
// the failure that stopped the commit.
type CommitError struct {
	Committed  []string // Done, for good.
	Failed     []string // The database refused; nothing of it is there.
	RolledBack []string // Not tried any more.
	Unknown    []string // The answer was lost; see [ErrOutcomeUnknown].
	Err        error
}

// Error says what became of each bind, and why.
func (e *CommitError) Error() string {
	var b strings.Builder
	b.WriteString("echobun: commit is incomplete:")
	for _, part := range []struct {
		what string
		keys []string
	}{{"committed", e.Committed}, {"failed", e.Failed}, {"rolled back", e.RolledBack}, {"unknown", e.Unknown}} {
		for i, key := range part.keys {
			if i == 0 {
				b.WriteString(" " + part.what + ":")
			} else {
				b.WriteString(",")
			}
			b.WriteString(" " + bindName(key))
		}
		if len(part.keys) > 0 {
			b.WriteString(";")
		}
	}
	return fmt.Sprintf("%s %v", b.String(), e.Err)
}

// Unwrap returns Err.
func (e *CommitError) Unwrap() error { return e.Err }

// bindName is how messages call a bind.
func bindName(key string) string {
	if key == DefaultBind {
		return "default bind"
	}
	return fmt.Sprintf("bind %q", showKey(key))
}

// maxNames is how many binds a message names; there may be thousands.
const maxNames = 10

// bindNames is how messages call several binds: the first by name, of the
// others how many there are.
func bindNames(keys []string) string {
	shown := keys[:min(len(keys), maxNames)]
	names := make([]string, len(shown))
	for i, key := range shown {
		names[i] = bindName(key)
	}
	if more := len(keys) - len(shown); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
