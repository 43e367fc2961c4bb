package echobun

import (
	"context"
	"sync/atomic"
)

// A rowsContext is the context of a query with a deadline. If that ends between
// two rows, database/sql makes the context's error theirs: so this one's names
// the bind, once there are rows.
type rowsContext struct {
	context.Context //nolint:containedctx // It is a context itself.

	e     *engine
	query string
	open  atomic.Bool // There are rows.
}

// forRows returns the context for a query.
func (e *engine) forRows(ctx context.Context, query string) context.Context {
	if _, limited := ctx.Deadline(); !limited {
		return ctx
	}
	return &rowsContext{Context: ctx, e: e, query: query}
}

func (c *rowsContext) Err() error {
	err := c.Context.Err()
	if err == nil || !c.open.Load() {
		return err
	}
	return &BindError{Bind: c.e.key, Op: operation(c.query), Err: err}
}

func (c *rowsContext) Value(key any) any {
	if key == (rowsContextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

type rowsContextKey struct{}

// A driverContext is what a driver gets in place of a rowsContext: it compares
// the context's error with the usual ones, as long as it reads rows.
type driverContext struct {
	context.Context //nolint:containedctx // It is a context itself.

	usual context.Context //nolint:containedctx // With the error.
}

func (c driverContext) Err() error { return c.usual.Err() }

// forDriver returns the context that a driver gets for a query, and the
// rowsContext that it comes from, or nil.
func forDriver(ctx context.Context) (context.Context, *rowsContext) {
	if c, ok := ctx.(*rowsContext); ok {
		return c.Context, c
	}
	if _, limited := ctx.Deadline(); limited {
		if c, ok := ctx.Value(rowsContextKey{}).(*rowsContext); ok { // Query hooks have added values.
			return driverContext{ctx, c.Context}, c
		}
	}
	return ctx, nil
}

// opened is called when the query has rows.
func (c *rowsContext) opened() {
	if c != nil {
		c.open.Store(true)
	}
}
