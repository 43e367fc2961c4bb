package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
)

var errShort = errors.New("too little was read")

// statement is one kind of work: do is called with i = 0, 1, 2, ...
type statement struct {
	work string
	do   func(ctx context.Context, s store, i int64) error
}

// spread spreads the numbers from 0 over 1 to n, so that no two calls in a row
// are for neighbours.
func spread(i, n int64) int64 { return 1 + i*7919%n }

var statements = []statement{
	{Point, func(ctx context.Context, s store, i int64) error {
		_, err := s.Point(ctx, spread(i, data.Users))
		return err
	}},
	{List, func(ctx context.Context, s store, i int64) error {
		n, err := s.List(ctx, spread(i, data.Posts-data.ListSize))
		return enough(n, data.ListSize, err)
	}},
	{Insert, func(ctx context.Context, s store, i int64) error { return s.Insert(ctx, spread(i, data.Users)) }},
	{Update, func(ctx context.Context, s store, i int64) error {
		return s.Update(ctx, spread(i, data.Users), float64(i))
	}},
	{HasMany, func(ctx context.Context, s store, i int64) error {
		n, err := s.Comments(ctx, spread(i, data.Commented-10))
		return enough(n, 10*data.CommentsPerPost, err)
	}},
}

func enough(got, want int, err error) error {
	if err == nil && got != want {
		return fmt.Errorf("%w: %d of %d", errShort, got, want)
	}
	return err
}

// statements measures single statements, one after the other.
func (e *Env) statements(ctx context.Context, set data.Set, stores []store) ([]Group, error) {
	var groups []Group
	for _, st := range statements {
		g, err := e.group(st.work, set.Name, e.plan(3, 25, 2*time.Millisecond), cases(ctx, stores, st.do))
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// both measures a transaction over two databases.
func (e *Env) both(ctx context.Context, set data.Set, stores []store) ([]Group, error) {
	g, err := e.group(Both, set.Name, e.plan(3, 15, 3*time.Millisecond),
		cases(ctx, stores, func(ctx context.Context, s store, i int64) error { return s.Both(ctx, spread(i, data.Users)) }))
	return []Group{g}, err
}

// cases are one for each store.
func cases(ctx context.Context, stores []store, do func(context.Context, store, int64) error) []measure.Case {
	var cases []measure.Case
	for _, s := range stores {
		var i int64
		cases = append(cases, measure.Case{Name: s.name, Run: func(n int) error {
			for range n {
				if err := do(ctx, s, i); err != nil {
					return err
				}
				i++
			}
			return nil
		}})
	}
	return cases
}
