package data

import (
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// Bun returns Bun's database on a pool, with its own dialect.
func (k Kind) Bun(pool *sql.DB) *bun.DB {
	switch k {
	case PostgreSQL:
		return bun.NewDB(pool, pgdialect.New())
	case MariaDB:
		return bun.NewDB(pool, mysqldialect.New())
	default:
		return bun.NewDB(pool, sqlitedialect.New())
	}
}
