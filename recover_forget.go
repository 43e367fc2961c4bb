package echobun

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/echobun/echobun/internal/failpoint"
)

// This file is what a recovery removes from the logs.

// forget removes the decisions that nobody needs any more: those whose
// branches have all been looked at, and are not prepared any more.
func (r *recovery) forget(ctx context.Context) {
	before := r.x.words.swap(r.words())
	// Words come first: what the log is asked for their sake is a decision, too.
	for _, words := range []bool{true, false} {
		for _, key := range r.x.keys() {
			b := r.binds[key]
			r.remove(ctx, b, r.unneeded(ctx, b, words, before))
		}
	}
}

// unneeded returns the ids of the bind's words, or of its decisions, that
// nobody needs.
func (r *recovery) unneeded(ctx context.Context, b *recovered, words bool, before map[word]bool) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(b.rows)) {
		d := b.rows[id]
		home, sees := d.sees()
		if sees == words && !r.needed(id, d) && (!sees || r.decided(ctx, id, home, before[word{b.e.key, id}])) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *recovery) remove(ctx context.Context, b *recovered, ids []string) {
	for batch := range slices.Chunk(ids, recoverBatch) {
		failpoint.Hit("remove")
		if err := b.once(ctx, func(ctx context.Context) error { return b.e.commits.remove(ctx, batch...) }); err != nil {
			r.errs = append(r.errs, err)
			break
		}
		failpoint.Hit("removed")
	}
}

// needed reports whether a branch may still ask for the decision.
func (r *recovery) needed(id string, d decision) bool {
	for _, b := range r.binds {
		if b.open[id] {
			return true
		}
	}
	for name := range strings.FieldsSeq(d.Binds) {
		b := r.named(name)
		if b == nil || !b.listed {
			return true
		}
	}
	return false
}

// decided reports whether there is, for all time, a decision about a
// transaction that a log only has word of. A commit came after all prepares,
// and so no branch is prepared any more. If there is none, the transaction may
// be running still, before its prepares, and is left alone at first. Later the
// coordinator's log is asked to roll it back: since its own part, with the
// decision, was there before the word was, it has ended once that is granted.
func (r *recovery) decided(ctx context.Context, id, home string, seenBefore bool) bool {
	c := r.at(home)
	if c == nil {
		return false
	}
	if _, ok := c.rows[id]; ok {
		return true
	}
	if !seenBefore {
		return false
	}
	var d decision
	err := c.once(ctx, func(ctx context.Context) (err error) {
		d, err = c.e.commits.claim(ctx, id)
		return err
	})
	if err != nil || d.Decision != decidedAbort {
		return false // It is running, or has just been committed.
	}
	c.rows[id] = d
	return true
}

// named returns the bind of a token, or nil.
func (r *recovery) named(name string) *recovered {
	for key, b := range r.binds {
		if shortName(key) == name {
			return b
		}
	}
	return nil
}

// A word is a row that says whose log has the decision about a transaction.
type word struct{ key, id string }

// words are those that the recovery has read.
func (r *recovery) words() map[word]bool {
	found := map[word]bool{}
	for key, b := range r.binds {
		for id, d := range b.rows {
			if _, sees := d.sees(); sees {
				found[word{key, id}] = true
			}
		}
	}
	return found
}

// seenWords are the words that the last recovery has read. The zero value has
// none. It is safe for concurrent use.
type seenWords struct {
	mu sync.Mutex
	m  map[word]bool
}

// swap puts others in their place and returns them.
func (w *seenWords) swap(others map[word]bool) map[word]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.m
	w.m = others
	return before
}
