package peer

import (
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun/bench/data"
)

// openBunDefault opens the databases as https://bun.uptrace.dev/guide/drivers.html
// does: [sql.Open] with the driver's name and data source name, and bun.NewDB.
func openBunDefault(set data.Set) (Store, error) {
	return openBun(set, func(d data.Database) (*sql.DB, error) { return d.Open(d.DSN()) })
}

// openBunTuned opens the databases with the settings of echobun's engines, as
// somebody would who had read about them: pgx with the exec mode, which the
// same page of Bun's guide has too, MySQL in UTC with utf8mb4, SQLite with WAL.
func openBunTuned(set data.Set) (Store, error) { return openBun(set, openTuned) }

func openTuned(d data.Database) (*sql.DB, error) {
	if d.Kind == data.SQLite {
		return d.Open(d.TunedDSN())
	}
	var pool *sql.DB
	if d.Kind == data.PostgreSQL {
		cfg, err := pgx.ParseConfig(d.DSN())
		if err != nil {
			return nil, err
		}
		cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
		pool = stdlib.OpenDB(*cfg)
	} else {
		cfg, err := mysql.ParseDSN(d.DSN())
		if err != nil {
			return nil, err
		}
		cfg.ClientFoundRows = true
		cfg.Params = map[string]string{"autocommit": "1", "time_zone": "'+00:00'"}
		if err := cfg.Apply(mysql.Charset("utf8mb4", "")); err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		pool = sql.OpenDB(connector)
	}
	data.Limit(pool)
	return pool, nil
}

func openBun(set data.Set, open func(data.Database) (*sql.DB, error)) (Store, error) {
	s := &bunStore{}
	for i, d := range set.All() {
		pool, err := open(d)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", d.Kind, err)
		}
		db := d.Kind.Bun(pool)
		*[]**bun.DB{&s.main, &s.blog, &s.log}[i] = db
	}
	s.close = s.closeAll
	return s, nil
}

// openBunEngine uses the engines of an extension without its sessions.
func openBunEngine(set data.Set) (Store, error) {
	ext, err := newExtension(set)
	if err != nil {
		return nil, err
	}
	engines := ext.Engines()
	return &bunStore{main: engines[""], blog: engines["blog"], log: engines["log"], close: ext.Close}, nil
}
