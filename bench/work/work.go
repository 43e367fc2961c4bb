// Package work has the kinds of work that the peers are compared by.
package work

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
)

// The names of the kinds of work.
const (
	Routing    = "Routing alone"
	Middleware = "Middleware alone"
	Point      = "Point select"
	List       = "List of 100 rows"
	Insert     = "Insert"
	Update     = "Update"
	HasMany    = "Has-many relation"
	Page       = "HTTP page from three binds"
	Both       = "Transaction over two binds"
	Atomic     = "Atomic request"
	CreateAll  = "CreateAll of 3 × 50 tables"
	StartUp    = "Start-up"
)

// A Group is one kind of work on one set of databases.
type Group struct {
	Work   string
	On     string
	Series []measure.Series
}

// An Env is what the work needs.
type Env struct {
	Sets  []data.Set // Filled. The last is the one of mixed kinds.
	Quick bool       // Run everything once, at its smallest.
	// Only and Peers leave out work, by "work, where", and peers. Nil leaves
	// out nothing.
	Only  *regexp.Regexp
	Peers *regexp.Regexp
	Log   func(format string, args ...any)
}

// plan returns a plan, or the shortest one there is.
func (e *Env) plan(rounds, turns int, turn time.Duration) measure.Plan {
	if e.Quick {
		return measure.Once()
	}
	return measure.Plan{Rounds: rounds, Turns: turns, Turn: turn}
}

// group measures one group. It is empty if it is left out.
func (e *Env) group(work, on string, p measure.Plan, cases []measure.Case) (Group, error) {
	g := Group{Work: work, On: on}
	if e.Only != nil && !e.Only.MatchString(work+", "+on) {
		return g, nil
	}
	var err error
	if g.Series, err = measure.Compare(p, cases); err != nil {
		return g, fmt.Errorf("%s, %s: %w", work, on, err)
	}
	return g, nil
}

// A store is a peer's, opened.
type store struct {
	peer.Store

	name string
}

// open opens all peers that can use the set, each on its own copy of what is
// in files.
func (e *Env) open(set data.Set) (stores []store, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(stores))
		}
	}()
	for _, p := range peer.All() {
		if p.OneDialect && set.Mixed() || e.Peers != nil && !e.Peers.MatchString(p.Name) {
			continue
		}
		own, err := set.Copy(strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(p.Name))
		if err != nil {
			return stores, err
		}
		s, err := p.Open(own)
		if err != nil {
			return stores, fmt.Errorf("open %s on %s: %w", p.Name, set.Name, err)
		}
		stores = append(stores, store{s, p.Name})
	}
	return stores, nil
}

func closeAll(stores []store) error {
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// epochs is how often a set is worked on with everything opened anew: whether
// a connection's server process sits well in the machine is a matter of luck,
// which a peer has for as long as it keeps the connection.
const epochs = 4

// OnSet does all work that is done on a set of databases.
func (e *Env) OnSet(ctx context.Context, set data.Set) ([]Group, error) {
	var groups []Group
	for i := range epochs {
		start := time.Now()
		more, err := e.epoch(ctx, set)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", set.Name, err)
		}
		e.Log("%s, %d of %d: %v", set.Name, i+1, epochs, time.Since(start).Round(time.Millisecond))
		groups = join(groups, more)
		if e.Quick {
			break
		}
	}
	return groups, nil
}

// join appends the rounds of the same work.
func join(groups, more []Group) []Group {
	if groups == nil {
		return more
	}
	for i, g := range more {
		for j, s := range g.Series {
			groups[i].Series[j].Append(s)
		}
	}
	return groups
}

func (e *Env) epoch(ctx context.Context, set data.Set) (groups []Group, err error) {
	stores, err := e.open(set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(stores)) }()
	if err := verify(ctx, stores); err != nil {
		return nil, err
	}
	type step func(context.Context, data.Set, []store) ([]Group, error)
	steps := []step{e.both, e.atomic, e.page}
	if !set.Mixed() {
		steps = append([]step{e.statements}, steps...)
	}
	if set.Main.Kind == data.SQLite && !set.Mixed() {
		steps = append([]step{e.routing, e.middleware}, steps...)
	}
	for _, step := range steps {
		more, err := step(ctx, set, stores)
		if err != nil {
			return nil, err
		}
		groups = append(groups, more...)
	}
	return groups, nil
}
