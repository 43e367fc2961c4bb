package work

import (
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/bench/data"
	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
)

// The sizes of applications that are started.
var (
	StartBinds  = []int{1, 10, 100, 1000}
	StartModels = []int{10, 100, 1000, 10_000}
)

// Binds and Models are what a group of start-ups is called.
func Binds(n int) string {
	if n == 1 {
		return "1 bind"
	}
	return fmt.Sprintf("%d binds", n)
}

// Models names a group, see [Binds].
func Models(n int) string { return fmt.Sprintf("%d models", n) }

// StartUp measures New and Register, and Close.
func (e *Env) StartUp() ([]Group, error) {
	numbersOfBinds, numbersOfModels := StartBinds, StartModels
	if e.Quick {
		numbersOfBinds, numbersOfModels = StartBinds[:2], StartModels[:2]
	}
	var groups []Group
	for _, n := range numbersOfBinds {
		g, err := e.startUp(Binds(n), n, models(1))
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	for _, n := range numbersOfModels {
		g, err := e.startUp(Models(n), 1, models(n))
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (e *Env) startUp(on string, n int, models []any) (Group, error) {
	repeat := func(start func(int, []any) error) func(int) error {
		return func(times int) error {
			for range times {
				if err := start(n, models); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return e.group(StartUp, on, e.plan(12, 5, 5*time.Millisecond), []measure.Case{
		{Name: peer.Echobun, Run: repeat(startEchobun)},
		{Name: ByHand, Run: repeat(startBun)},
	})
}

func startEchobun(n int, models []any) error {
	cfg := binds(n)
	cfg.DatabaseURI = "sqlite://" // Where models without a bind are.
	delete(cfg.Binds, bindKey(0))
	ext, err := echobun.New(cfg)
	if err != nil {
		return err
	}
	return errors.Join(ext.Register(models...), ext.Close())
}

// startBun opens as many databases, and registers the models with the first.
func startBun(n int, models []any) error {
	dbs := make([]*bun.DB, n)
	for i := range dbs {
		pool, err := data.Database{Kind: data.SQLite, URL: "sqlite:///:memory:"}.Open(":memory:")
		if err != nil {
			return err
		}
		dbs[i] = data.SQLite.Bun(pool)
	}
	dbs[0].RegisterModel(models...)
	return closeBuns(dbs)
}
