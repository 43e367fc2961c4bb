package echobun

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

// TxOptions are the options of a transaction. The zero value, and nil where a
// pointer is asked for, are the defaults. What cannot be kept is a
// [*ConfigError] that names the field, before anything is sent; a bind key
// without an engine is an [*UnknownBindError].
//
// A nested transaction is a savepoint. It takes the options of the one it is
// in, and only the same ones may be asked for again.
type TxOptions struct {
	// Isolation is the isolation level on every bind. Default: the
	// database's. A level that a database does not have is an error of the
	// first statement there.
	Isolation sql.IsolationLevel

	// ReadOnly refuses writes on every bind, with [ErrReadOnly].
	ReadOnly bool

	// Order lists the binds that commit first, in this order. The others
	// follow in the order of their first use. Put the bind whose commit is
	// the likeliest to fail first: as long as none has committed, a failure
	// rolls back all of them.
	Order []string

	// TwoPhase makes all binds commit or none, whatever fails or dies
	// meanwhile. See [Extension.RecoverPrepared], which has to be called then.
	TwoPhase bool

	// Retries is how many times RunInTx runs its function again after a
	// serialization failure or a deadlock, with a growing pause in between.
	// Default: never. A commit whose outcome is unknown, or that some of the
	// binds have done, is never repeated.
	Retries int

	// CommitTimeout limits each bind's COMMIT, ROLLBACK and PREPARE. What is
	// not answered by then is [ErrOutcomeUnknown]. Default: 5 s.
	CommitTimeout time.Duration
}

// commitTimeout returns CommitTimeout or its default.
func (o *TxOptions) commitTimeout() time.Duration {
	if o.CommitTimeout > 0 {
		return o.CommitTimeout
	}
	return wire.DefaultCommitTimeout
}

func (o *TxOptions) sqlOptions() *sql.TxOptions {
	if o.Isolation == sql.LevelDefault && !o.ReadOnly {
		return nil
	}
	return &sql.TxOptions{Isolation: o.Isolation, ReadOnly: o.ReadOnly}
}

// txOptions returns a copy of opts that can be kept on x's binds.
func (x *Extension) txOptions(opts *TxOptions) (TxOptions, error) {
	if opts == nil {
		return TxOptions{}, nil
	}
	var faults []error
	refuse := func(field, format string, args ...any) {
		faults = append(faults, &ConfigError{Field: "TxOptions." + field, Err: fmt.Errorf(format, args...)})
	}

	if opts.Isolation < sql.LevelDefault || opts.Isolation > sql.LevelLinearizable {
		refuse("Isolation", "unknown isolation level %d", int(opts.Isolation))
	}
	if opts.Retries < 0 {
		refuse("Retries", "%d is negative", opts.Retries)
	}
	if opts.CommitTimeout < 0 {
		refuse("CommitTimeout", "%s is negative: a commit without a limit could wait for ever", opts.CommitTimeout)
	}
	for i, key := range opts.Order {
		if _, err := x.engine(key); err != nil {
			faults = append(faults, err)
		} else if slices.Contains(opts.Order[:i], key) {
			refuse("Order", "%s is listed twice", bindName(key))
		}
	}

	o := *opts
	o.Order = slices.Clone(opts.Order)
	return o, errors.Join(faults...)
}

// checkNested refuses options that a savepoint within a transaction of these
// options cannot give.
func (o *TxOptions) checkNested(opts *TxOptions) error {
	if opts == nil {
		return nil
	}
	const hint = "a nested transaction is a savepoint: set it on the outermost transaction"
	var faults []error
	refuse := func(field string, ok bool) {
		if !ok {
			faults = append(faults, &ConfigError{Field: "TxOptions." + field, Err: errors.New(hint)})
		}
	}
	refuse("Isolation", opts.Isolation == sql.LevelDefault || opts.Isolation == o.Isolation)
	refuse("ReadOnly", !opts.ReadOnly || o.ReadOnly)
	refuse("Order", len(opts.Order) == 0 || slices.Equal(opts.Order, o.Order))
	refuse("TwoPhase", !opts.TwoPhase || o.TwoPhase)
	refuse("Retries", opts.Retries == 0)
	refuse("CommitTimeout", opts.CommitTimeout == 0 || opts.CommitTimeout == o.commitTimeout())
	return errors.Join(faults...)
}
