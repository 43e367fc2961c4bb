package main

import (
	"cmp"
	"maps"
	"os"

	"github.com/echobun/echobun"
	// Each of these brings in one kind of database.
	_ "github.com/echobun/echobun/driver/mysql"
	_ "github.com/echobun/echobun/driver/pgx"
	_ "github.com/echobun/echobun/driver/sqlite"
)

// config reads the environment. What it leaves out is a SQLite file.
func config() (echobun.Config, error) {
	cfg, err := echobun.ConfigFromEnv("EXAMPLE")
	if err != nil {
		return echobun.Config{}, err
	}

	// An example stays out of the database that DATABASE_URL may name.
	cfg.DatabaseURI = os.Getenv("EXAMPLE_DATABASE_URI")

	binds := echobun.Binds{
		echobun.DefaultBind: {URL: "sqlite:///posts.db"},
		"auth":              {URL: "sqlite:///users.db"},
		"meta":              {URL: "sqlite:///hits.db"},
	}
	maps.Copy(binds, cfg.Binds)
	cfg.Binds = binds
	cfg.InstancePath = cmp.Or(cfg.InstancePath, "instance")
	cfg.RecordQueries = cfg.RecordQueries || debugging()
	return cfg, nil
}
