package echobun

import (
	"context"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"github.com/echobun/echobun/internal/writes"
)

// A modelHooks has the hooks of a model called, and some of the library's own
// before Bun makes a statement of the model's values. It panics at a nil among
// them; and it writes the time of deletion into the caller's model while it
// makes the statement of a soft delete, which it or the database may refuse, so
// what the model held is kept here right before, with the connection that hears
// of that.
//
// It takes the place of the value that Bun asks for a model's hooks. It is
// made with the table, and never changes.
type modelHooks struct {
	e        *engine
	table    *schema.Table
	zero     any   // The value that was there.
	unusable error // Why the model cannot be written whole.
}

// watchModel makes what a model's statements are made of known before Bun
// makes them.
func (e *engine) watchModel(t *schema.Table) {
	t.ZeroIface = &modelHooks{e, t, t.ZeroIface, checkValues(t)}
}

// fits returns a [*ModelError] if q cannot be made of its model's values.
func (h *modelHooks) fits(q writes.Builder) error {
	if err := writes.Fits(q, h.unusable); err != nil {
		return &ModelError{Model: h.table.Type.String(), Bind: h.e.key, Err: err}
	}
	return nil
}

// BeforeDelete runs the model's own hook first, which may still change the query.
func (h *modelHooks) BeforeDelete(ctx context.Context, q *bun.DeleteQuery) error {
	if hook, ok := h.zero.(bun.BeforeDeleteHook); ok {
		if err := hook.BeforeDelete(ctx, q); err != nil {
			return err
		}
	}
	if err := h.fits(q); err != nil || h.table.SoftDeleteField == nil {
		return err
	}
	was, err := writes.Deletes(q)
	if w := h.e.writeOf(q); w != nil {
		w.was = was
	}
	return err
}

// writeOf returns the connection that q will be sent through, or nil if it is
// none of the library's.
func (e *engine) writeOf(q *bun.DeleteQuery) *write {
	if conn := writes.ConnOf(q); conn != nil {
		w, _ := conn.(*write)
		return w
	}
	if q.DB().DB != e.db.DB {
		return nil
	}
	w := &write{e: e, conn: (*engineConn)(e), q: q} // As ResolveConn would make it.
	q.Conn(w)
	return w
}

// AfterDelete is the model's.
func (h *modelHooks) AfterDelete(ctx context.Context, q *bun.DeleteQuery) error {
	if hook, ok := h.zero.(bun.AfterDeleteHook); ok {
		return hook.AfterDelete(ctx, q)
	}
	return nil
}

// BeforeSelect is the model's.
func (h *modelHooks) BeforeSelect(ctx context.Context, q *bun.SelectQuery) error {
	if hook, ok := h.zero.(bun.BeforeSelectHook); ok {
		return hook.BeforeSelect(ctx, q)
	}
	return nil
}

// AfterSelect is the model's.
func (h *modelHooks) AfterSelect(ctx context.Context, q *bun.SelectQuery) error {
	if hook, ok := h.zero.(bun.AfterSelectHook); ok {
		return hook.AfterSelect(ctx, q)
	}
	return nil
}

// BeforeInsert runs the model's own hook first.
func (h *modelHooks) BeforeInsert(ctx context.Context, q *bun.InsertQuery) error {
	if hook, ok := h.zero.(bun.BeforeInsertHook); ok {
		if err := hook.BeforeInsert(ctx, q); err != nil {
			return err
		}
	}
	if writes.ReturnsToNil(q) {
		q.Returning("NULL")
	}
	return h.fits(q)
}

// AfterInsert is the model's.
func (h *modelHooks) AfterInsert(ctx context.Context, q *bun.InsertQuery) error {
	if hook, ok := h.zero.(bun.AfterInsertHook); ok {
		return hook.AfterInsert(ctx, q)
	}
	return nil
}

// BeforeUpdate runs the model's own hook first.
func (h *modelHooks) BeforeUpdate(ctx context.Context, q *bun.UpdateQuery) error {
	if hook, ok := h.zero.(bun.BeforeUpdateHook); ok {
		if err := hook.BeforeUpdate(ctx, q); err != nil {
			return err
		}
	}
	return h.fits(q)
}

// AfterUpdate is the model's.
func (h *modelHooks) AfterUpdate(ctx context.Context, q *bun.UpdateQuery) error {
	if hook, ok := h.zero.(bun.AfterUpdateHook); ok {
		return hook.AfterUpdate(ctx, q)
	}
	return nil
}

// BeforeCreateTable is the model's.
func (h *modelHooks) BeforeCreateTable(ctx context.Context, q *bun.CreateTableQuery) error {
	if hook, ok := h.zero.(bun.BeforeCreateTableHook); ok {
		return hook.BeforeCreateTable(ctx, q)
	}
	return nil
}

// AfterCreateTable is the model's.
func (h *modelHooks) AfterCreateTable(ctx context.Context, q *bun.CreateTableQuery) error {
	if hook, ok := h.zero.(bun.AfterCreateTableHook); ok {
		return hook.AfterCreateTable(ctx, q)
	}
	return nil
}

// BeforeDropTable is the model's.
func (h *modelHooks) BeforeDropTable(ctx context.Context, q *bun.DropTableQuery) error {
	if hook, ok := h.zero.(bun.BeforeDropTableHook); ok {
		return hook.BeforeDropTable(ctx, q)
	}
	return nil
}

// AfterDropTable is the model's.
func (h *modelHooks) AfterDropTable(ctx context.Context, q *bun.DropTableQuery) error {
	if hook, ok := h.zero.(bun.AfterDropTableHook); ok {
		return hook.AfterDropTable(ctx, q)
	}
	return nil
}
