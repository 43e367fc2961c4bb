package echobuntest

import (
	"testing"

	"github.com/echobun/echobun"
	_ "github.com/echobun/echobun/driver/sqlite" // It is what New uses.
)

// memory is the URL of a new database in memory.
const memory = "sqlite://"

// New returns an extension with the binds of cfg, each on a SQLite database of
// its own in memory, with the models registered and all tables made. A cfg
// without any bind has the default one. The extension is closed when tb ends;
// any failure ends tb.
//
// Of each bind's options only Hooks and LogStatements are kept: the others are
// about a server, and tables of an unmanaged bind are made too. What is not
// about a bind is kept as it is. The caller's cfg is not modified.
func New(tb testing.TB, cfg echobun.Config, models ...any) *echobun.Extension {
	tb.Helper()
	x, err := echobun.New(inMemory(cfg))
	if err != nil {
		tb.Fatalf("echobuntest: %v", err)
	}
	tb.Cleanup(func() {
		if err := x.Close(); err != nil {
			tb.Errorf("echobuntest: %v", err)
		}
	})
	if err := x.Register(models...); err != nil {
		tb.Fatalf("echobuntest: %v", err)
	}
	ctx, end := x.AppContext(tb.Context())
	defer end()
	if err := x.CreateAll(ctx); err != nil {
		tb.Fatalf("echobuntest: %v", err)
	}
	return x
}

// inMemory returns cfg with all databases in memory.
func inMemory(cfg echobun.Config) echobun.Config {
	byDefault, inBinds := cfg.Binds[echobun.DefaultBind]
	first := cfg.EngineOptions
	if first.Hooks == nil {
		first.Hooks = byDefault.Hooks
	}
	if first.LogStatements == nil {
		first.LogStatements = byDefault.LogStatements
	}
	hasDefault := cfg.DatabaseURI != "" || first.URL != "" || first.DB != nil || inBinds || len(cfg.Binds) == 0

	binds := make(echobun.Binds, len(cfg.Binds))
	for key, o := range cfg.Binds {
		if key != echobun.DefaultBind {
			binds[key] = echobun.EngineOptions{URL: memory, Hooks: o.Hooks, LogStatements: o.LogStatements}
		}
	}
	cfg.DatabaseURI, cfg.EngineOptions, cfg.Binds = "", echobun.EngineOptions{}, binds
	cfg.Defaults = echobun.EngineOptions{Hooks: cfg.Defaults.Hooks, LogStatements: cfg.Defaults.LogStatements}
	if hasDefault {
		cfg.DatabaseURI = memory
		cfg.EngineOptions = echobun.EngineOptions{Hooks: first.Hooks, LogStatements: first.LogStatements}
	}
	return cfg
}
