package bench

import (
	"context"
	"time"

	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/report"
	"github.com/echobun/echobun/bench/work"
)

// Run does all work and returns what was measured. Spare is a set to make
// tables in.
func Run(ctx context.Context, env *work.Env, spare data.Set) (*report.Results, error) {
	r := &report.Results{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine()}
	var err error
	if r.Versions, err = versions(ctx, env.Sets); err != nil {
		return nil, err
	}
	steps := []func() ([]work.Group, error){
		func() ([]work.Group, error) { return env.CreateAll(ctx, spare) },
		env.StartUp,
	}
	for _, set := range env.Sets {
		steps = append(steps, func() ([]work.Group, error) { return env.OnSet(ctx, set) })
	}
	for _, step := range steps {
		groups, err := step()
		if err != nil {
			return nil, err
		}
		r.Groups = append(r.Groups, groups...)
	}
	r.Growth, err = env.Growth(ctx)
	return r, err
}
