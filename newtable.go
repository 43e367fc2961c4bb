package echobun

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/wire"
)

// A tableMaker is a connection for a builder's CREATE TABLE. It lets the driver
// know that what comes is one, and not somebody's own SQL.
type tableMaker struct{ bun.IConn }

// ExecContext runs finished SQL.
func (m tableMaker) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return m.IConn.ExecContext(wire.WithNewTable(ctx), query, args...)
}

// newTable starts a CREATE TABLE on a connection that is ready for DDL.
func newTable(db bun.IDB) *bun.CreateTableQuery {
	q := db.NewCreateTable()
	switch db := db.(type) { // Bun's hooks see what is sent through these two once more.
	case bun.Conn:
		return q.Conn(tableMaker{db.Conn})
	case bun.Tx:
		return q.Conn(tableMaker{db.Tx})
	}
	return q
}
