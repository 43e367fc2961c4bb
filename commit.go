package echobun

import (
	"errors"
)

// commitAll commits the branches one after the other. After the first that
// fails, the others roll back.
func commitAll(branches []*branch) error {
	returned := false
	defer func() {
		if !returned { // A query hook panicked. Those that have committed are over.
			_ = rollbackAll(branches)
		}
	}()
	for i, b := range branches {
		if err := b.commit(); err != nil {
			returned = true
			return commitFailed(branches, i, err)
		}
	}
	returned = true
	return nil
}

// commitFailed is what becomes of the commit after the branch at i has failed
// with err. It is a plain error if nothing can have been committed.
func commitFailed(branches []*branch, i int, err error) error {
	rest := branches[i+1:]
	rolledBack := rollbackAll(rest)
	unknown := errors.Is(err, ErrOutcomeUnknown)
	err = joinBehind(err, rolledBack)
	if i == 0 && (!unknown || len(rest) == 0) {
		return err
	}

	e := &CommitError{Committed: keysOf(branches[:i]), RolledBack: keysOf(rest), Err: err}
	if unknown {
		e.Unknown = keysOf(branches[i : i+1])
	} else {
		e.Failed = keysOf(branches[i : i+1])
	}
	return e
}

func keysOf(branches []*branch) []string {
	keys := make([]string, len(branches))
	for i, b := range branches {
		keys[i] = b.e.key
	}
	return keys
}
