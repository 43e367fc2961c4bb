// Package work has the kinds of work that the peers are compared by.
package work

import (
	"context"
	"errors"
	"fmt"
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
	Log   func(format string, args ...any)
}

// plan returns a plan, or the shortest one there is.
func (e *Env) plan(rounds, turns int, turn time.Duration) measure.Plan {
	if e.Quick {
		return measure.Once()
	}
	return measure.Plan{Rounds: rounds, Turns: turns, Turn: turn}
}

// group measures one group.
func (e *Env) group(work, on string, p measure.Plan, cases []measure.Case) (Group, error) {
	start := time.Now()
	series, err := measure.Compare(p, cases)
	if err != nil {
		return Group{}, fmt.Errorf("%s, %s: %w", work, on, err)
	}
	e.Log("%s, %s: %v", work, on, time.Since(start).Round(time.Millisecond))
	return Group{Work: work, On: on, Series: series}, nil
}

// A store is a peer's, opened.
type store struct {
	peer.Store

	name string
}

// open opens all peers that can use the set, each on its own copy of what is
// in files.
func open(set data.Set) (stores []store, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(stores))
		}
	}()
	for _, p := range peer.All() {
		if p.OneDialect && set.Mixed() {
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

// OnSet does all work that is done on a set of databases.
func (e *Env) OnSet(ctx context.Context, set data.Set) (groups []Group, err error) {
	stores, err := open(set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(stores)) }()
	if err := verify(ctx, stores); err != nil {
		return nil, fmt.Errorf("%s: %w", set.Name, err)
	}
	steps := []func(context.Context, data.Set, []store) ([]Group, error){e.both, e.atomic, e.page}
	if !set.Mixed() {
		steps = append([]func(context.Context, data.Set, []store) ([]Group, error){e.statements}, steps...)
	}
	if set.Main.Kind == data.SQLite && !set.Mixed() {
		steps = append([]func(context.Context, data.Set, []store) ([]Group, error){e.routing, e.middleware}, steps...)
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
