package echobun

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/writes"
)

// This file begins Bun's builders with a Table. Bun takes what is named by Table
// for a second table as soon as it gets a struct: it copies one into the other,
// joins them or empties both. So a struct is refused there before anything is
// sent, whatever the builder is.

var errTableModel = errors.New("a struct as the model of a query that began with a Table: Bun would take them for two tables: " +
	"begin with Model(...) for the struct's own table, give the rows of a Table as maps, or read them with Scan(ctx, &structs)")

// aboutTable starts a query like q about a table, or returns nil if there is no
// such query without a struct.
func (h *handle) aboutTable(q any, name string) any {
	switch q.(type) {
	case *bun.SelectQuery:
		s := h.newSelect()
		s.about = name
		return s.query.Table(name)
	case *bun.InsertQuery:
		return h.insertInto(name)
	case *bun.UpdateQuery:
		u := h.newUpdate()
		u.about = name
		return u.query.Table(name)
	case *bun.DeleteQuery:
		d := h.newDelete()
		d.about = name
		return d.query.Table(name)
	case *bun.TruncateTableQuery:
		q := h.NewTruncateTable().Table(name)
		return q.Conn(&tableChange{(*sender)(h), q, name})
	case *bun.DropTableQuery:
		q := h.NewDropTable().Table(name)
		return q.Conn(&tableChange{(*sender)(h), q, name})
	}
	return nil
}

// insertInto starts an INSERT whose rows are maps.
func (h *handle) insertInto(name string) *bun.InsertQuery {
	i := &struct {
		insertion
		target writes.Target
	}{}
	h.beginInsert(&i.insertion)
	i.target = writes.Target{Query: &i.query, Table: name}
	i.about, i.target.Refused = name, &i.refused
	return i.query.TableExpr("?", &i.target)
}

// onlyMaps returns an error if a query that began with a Table, which about
// names, has got a struct.
func (e *engine) onlyMaps(q bun.Query, about string) error {
	if about == "" {
		return nil
	}
	if _, isStruct := q.GetModel().(bun.TableModel); isStruct {
		return &ModelError{Model: about, Bind: e.key, Err: errTableModel}
	}
	return nil
}

// A tableChange is the connection of a TRUNCATE or DROP that began with a Table.
type tableChange struct {
	bun.IConn

	q     bun.Query
	about string
}

// ExecContext runs finished SQL.
func (c *tableChange) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s, ok := c.IConn.(*sender); ok {
		if err := s.e.onlyMaps(c.q, c.about); err != nil {
			return nil, err
		}
	}
	return c.IConn.ExecContext(ctx, query, args...)
}
