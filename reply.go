package echobun

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/reads"
	"github.com/echobun/echobun/internal/sqltext"
)

// This file is for statements that write and return rows. Their reply is read
// to its end before database/sql sees a row of it: a statement can fail behind its
// first row, which who wants one row would not hear of; and while rows are read
// the end of the context would be told as the failure of what is done.

// A reply is the context of such a statement. Database/sql closes rows when
// their context ends; once the reply is complete there is nothing to stop.
type reply struct {
	context.Context //nolint:containedctx // It is a context itself.

	e        *engine
	query    string
	lasts    bool        // It does not end any more, since whoever has the rows closes them.
	complete atomic.Bool // Set before database/sql has the rows.
}

type replyKey struct{}

// replies returns the context to send a statement with. It is ctx, unless the
// statement writes and returns rows; lasts says that they are closed for certain.
func (e *engine) replies(ctx context.Context, query string, lasts bool) context.Context {
	if ctx.Done() == nil || !e.owned || !sqltext.ReturnsOfWrite(query) {
		return ctx
	}
	return &reply{Context: ctx, e: e, query: query, lasts: lasts}
}

// Done returns nil once nothing can be stopped any more.
func (r *reply) Done() <-chan struct{} {
	if r.lasts && r.complete.Load() {
		return nil
	}
	return r.Context.Done()
}

// Err says, of rows that their reader had no time for, that they are there.
func (r *reply) Err() error {
	err := r.Context.Err()
	switch {
	case err == nil || !r.complete.Load():
		return err
	case r.lasts:
		return nil
	}
	return r.e.unread(r.query, err)
}

// unread is the error of rows that their reader had no time for. The driver
// knows no such outcome: as far as it is concerned the statement is done.
func (e *engine) unread(query string, err error) error {
	return &BindError{
		Bind: e.key, Op: operation(query), class: driver.OutcomeUnknown,
		Err: fmt.Errorf("the server has done it, but the context ended before the rows that it returns were read: %w", err),
	}
}

func (r *reply) Value(key any) any {
	if key == (replyKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// answer makes the rows of a query, complete if it is one that writes.
func (c *conn) answer(ctx context.Context, query string, inner sqldriver.Rows) (sqldriver.Rows, error) {
	r := c.newRows(query, inner)
	fresh, _ := ctx.Value(freshKey{}).(*reads.Fresh)
	if !sqltext.ReturnsOfWrite(query) {
		r.fresh = fresh
		return r, nil
	}
	if err := r.complete(); err != nil {
		_ = r.Close() // That one matters.
		return nil, err
	}
	if known, ok := ctx.Value(replyKey{}).(*reply); ok {
		known.complete.Store(true)
	} else if err := ctx.Err(); err != nil && !c.inTx {
		_ = r.Close() // Database/sql would, and tell what is done as a failure.
		return nil, c.e.unread(query, err)
	}
	r.fresh = fresh // Which is told of the first row that somebody wants.
	return r, nil
}

// keptValues is how much memory of a reply is kept for the next one.
const keptValues = 64

// complete reads what is left of the reply.
func (r *rows) complete() error {
	if done, ok := r.inner.(interface{ Complete() bool }); ok && done.Complete() {
		return nil
	}
	r.width = len(r.inner.Columns())
	for {
		start := len(r.values)
		r.values = append(r.values, make([]sqldriver.Value, r.width)...)
		row := r.values[start:]
		err := r.inner.Next(row)
		if err == io.EOF { //nolint:errorlint // Compared as database/sql does.
			r.values = r.values[:start]
			break
		}
		if err != nil {
			return r.c.refused(operation(r.query), err)
		}
		cloneBytes(row)
		r.count++
	}
	r.buffered = true
	if !r.HasNextResultSet() {
		return nil
	}
	return r.completeSets()
}

// completeSets is complete for a reply of several results, as that to a CALL.
func (r *rows) completeSets() error {
	set, err := readSet(r)
	if err != nil {
		return err
	}
	m := &memoryRows{sets: []resultSet{set}}
	r.buffered = false
	if err := m.readMore(r); err != nil {
		return err
	}
	if err := r.inner.Close(); err != nil {
		return r.c.refused(operation(r.query), err)
	}
	r.inner = m
	return nil
}

// read reads the next row, of those that were read before if there are any.
func (r *rows) read(dest []sqldriver.Value) error {
	if !r.buffered {
		return r.inner.Next(dest)
	}
	if r.next == r.count {
		return io.EOF
	}
	copy(dest, r.values[r.next*r.width:])
	r.next++
	return nil
}

// keep returns the memory for the next reply.
func (r *rows) keep() []sqldriver.Value {
	clear(r.values)
	if cap(r.values) > keptValues {
		return nil
	}
	return r.values[:0]
}

// cloneBytes copies what is the driver's.
func cloneBytes(row []sqldriver.Value) {
	for i, v := range row {
		if b, ok := v.([]byte); ok && b != nil {
			row[i] = append(make([]byte, 0, len(b)), b...)
		}
	}
}

// formats reports whether conn formats what it gets, so that it is the
// application that has its rows, and not one of Bun's builders.
func formats(conn bun.IConn) bool {
	_, ok := conn.(bun.IDB)
	return ok
}
