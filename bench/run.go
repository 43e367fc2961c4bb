package bench

import (
	"context"
	"time"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/report"
	"github.com/echobun/echobun/bench/work"
)

// Run does all work and returns what was measured. Sets are the databases,
// filled; the last is the one of mixed kinds. Spare is a set to make tables in.
// Quick runs everything once, at its smallest.
func Run(ctx context.Context, sets []data.Set, spare data.Set, quick bool, log func(format string, args ...any)) (*report.Results, error) {
	env := &work.Env{Quick: quick, Log: log}
	r := &report.Results{
		Date:    time.Now().UTC().Format(time.DateOnly),
		Machine: machine(),
		Rounds:  "there are 12 to 20 of them, and 10 of what takes seconds",
	}
	if quick {
		r.Rounds = "there is one of them"
	}
	var err error
	if r.Versions, err = versions(ctx, sets); err != nil {
		return nil, err
	}
	for _, set := range sets {
		groups, err := env.OnSet(ctx, set)
		if err != nil {
			return nil, err
		}
		r.Groups = append(r.Groups, groups...)
	}
	groups, err := env.CreateAll(ctx, spare)
	if err != nil {
		return nil, err
	}
	r.Groups = append(r.Groups, groups...)
	if groups, err = env.StartUp(); err != nil {
		return nil, err
	}
	r.Groups = append(r.Groups, groups...)
	r.Growth, err = env.Growth(ctx)
	return r, err
}
