package echobun

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/reads"
	"github.com/echobun/echobun/internal/sqltext"
	"github.com/echobun/echobun/internal/wire"
)

// This file is for statements that write and return rows. Their reply is read
// to its end before database/sql sees a row of it: a statement can fail behind its
// first row, which who wants one row would not hear of; and while rows are read
// the end of the context would be told as the failure of what is done. The
// rows of a query that calls a function, which may write, are read ahead.

// maxAhead is how many bytes of the rows of a query that calls a function are
// read ahead: it may return more of them than there is memory.
const maxAhead = 1 << 20

// A reply is the context of such a statement. Database/sql closes rows when
// their context ends; once the reply is complete there is nothing to stop.
type reply struct {
	context.Context //nolint:containedctx // It is a context itself.

	e     *engine
	query string
	kind  sqltext.Reply
	lasts bool         // It does not end any more, since whoever has the rows closes them.
	state atomic.Int32 // Of those below. Set before database/sql has the rows.
}

// What has been read of a reply.
const (
	replyAwaited int32 = iota
	replyBegun         // More may follow.
	replyComplete
)

type replyKey struct{}

// replies returns the context to send a statement with. It is ctx, unless the
// statement may write and returns rows; lasts says that they are closed for certain.
func (e *engine) replies(ctx context.Context, query string, lasts bool) context.Context {
	if ctx.Done() == nil || !e.owned {
		return ctx
	}
	kind := sqltext.ReplyOf(e.words(), query)
	if kind == sqltext.OfRead {
		return ctx
	}
	return &reply{Context: ctx, e: e, query: query, kind: kind, lasts: lasts}
}

// Done returns nil once nothing can be stopped any more.
func (r *reply) Done() <-chan struct{} {
	if r.lasts && r.state.Load() == replyComplete {
		return nil
	}
	return r.Context.Done()
}

// Err says, of rows that their reader had no time for, that they may be there.
func (r *reply) Err() error {
	err := r.Context.Err()
	switch state := r.state.Load(); {
	case err == nil || state == replyAwaited:
		return err
	case state == replyBegun:
		return r.e.unread(r.query, errBegun, err)
	case r.lasts:
		return nil
	}
	return r.e.unread(r.query, errDone, err)
}

// Why it is not known what became of a statement whose rows were not all read.
var (
	errDone       = errors.New("the server has done it, but the context ended before the rows that it returns were read")
	errUnreadable = errors.New("the server has done it, but a value that it returns cannot be read")
	errBegun      = errors.New("it calls a function, which may write, and the context ended before all rows that it returns were read")
)

// unread is the error of rows that their reader had no time for. The driver
// knows no such outcome: as far as it is concerned the statement is done.
func (e *engine) unread(query string, why, err error) error {
	return &BindError{
		Bind: e.key, Op: operation(query), class: driver.OutcomeUnknown,
		Err: fmt.Errorf("%w: %w", why, err),
	}
}

func (r *reply) Value(key any) any {
	if key == (replyKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// answer makes the rows of a query, as complete as they have to be.
func (c *conn) answer(ctx context.Context, query string, inner sqldriver.Rows) (sqldriver.Rows, error) {
	r := c.newRows(query, inner)
	fresh, _ := ctx.Value(freshKey{}).(*reads.Fresh)
	known, _ := ctx.Value(replyKey{}).(*reply)
	if known != nil {
		c.watch.Begins(known.Context) //nolint:contextcheck // It is the one that ctx comes from.
	} else {
		c.watch.Begins(ctx)
	}
	kind := c.kind(known, query)
	if kind == sqltext.OfRead {
		r.fresh = fresh
		return r, nil
	}
	wire.KeepColumns(ctx, inner)
	state, err := r.readAhead(kind)
	if err != nil {
		_ = r.Close() // That one matters.
		return nil, err
	}
	if known != nil {
		r.reply = known
		known.state.Store(state)
	} else if err := ctx.Err(); err != nil && !c.inTx {
		_ = r.Close() // Database/sql would, and tell what is done as a failure.
		return nil, c.e.unread(query, whyUnread(state), err)
	}
	r.fresh = fresh // Which is told of the first row that somebody wants.
	return r, nil
}

// kind is what the rows of a query are of, which its context may know.
func (c *conn) kind(known *reply, query string) sqltext.Reply {
	if known != nil {
		return known.kind
	}
	return sqltext.ReplyOf(c.e.words(), query)
}

func whyUnread(state int32) error {
	if state == replyBegun {
		return errBegun
	}
	return errDone
}

// keptValues is how much memory of a reply is kept for the next one.
const keptValues = 64

// readAhead reads what has to be there before database/sql sees the first row.
func (r *rows) readAhead(kind sqltext.Reply) (state int32, err error) {
	if done, ok := r.inner.(interface{ Complete() bool }); ok && done.Complete() {
		return replyComplete, nil
	}
	limit := math.MaxInt
	if kind == sqltext.OfCalls {
		limit = maxAhead
	}
	if state, err = r.readUpTo(limit); err != nil {
		if kind == sqltext.OfWrite && r.c.e.driverClass(err)&driver.InvalidValue != 0 {
			return state, r.c.e.unread(r.query, errUnreadable, err) // The statement is done: only its answer is at fault.
		}
		return state, r.c.refused(operation(r.query), err)
	}
	if state == replyBegun || !r.HasNextResultSet() {
		return state, nil
	}
	return replyComplete, r.completeSets()
}

// readUpTo reads rows until there are no more, or their values take limit bytes.
func (r *rows) readUpTo(limit int) (state int32, err error) {
	r.width = len(r.inner.Columns())
	for size := 0; size <= limit; {
		start := len(r.values)
		r.values = append(r.values, make([]sqldriver.Value, r.width)...)
		row := r.values[start:]
		err := r.inner.Next(row)
		if err == io.EOF { //nolint:errorlint // Compared as database/sql does.
			r.values = r.values[:start]
			r.buffered = true
			return replyComplete, nil
		}
		if err != nil {
			return replyBegun, err
		}
		size += cloneBytes(row)
		r.count++
	}
	return replyBegun, nil
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
	if r.next < r.count {
		copy(dest, r.values[r.next*r.width:])
		r.next++
		return nil
	}
	if r.buffered {
		return io.EOF
	}
	if r.last == nil { // It is the first one that a query takes its time for.
		r.c.watch.Reads()
	}
	return r.inner.Next(dest)
}

// ended has the transaction know of a statement whose context ended before its
// last row was read, though it has not failed on the server.
func (r *rows) ended() {
	if r.reply == nil || r.c.branch == nil || r.reply.state.Load() != replyBegun {
		return
	}
	if err := r.reply.Err(); err != nil {
		r.c.branch.failed(err)
	}
}

// keep returns the memory for the next reply.
func (r *rows) keep() []sqldriver.Value {
	clear(r.values)
	if cap(r.values) > keptValues {
		return nil
	}
	return r.values[:0]
}

// cloneBytes copies what is the driver's. It returns what the row takes.
func cloneBytes(row []sqldriver.Value) (size int) {
	const each = 16 // An interface.
	for i, v := range row {
		switch v := v.(type) {
		case []byte:
			if v != nil {
				row[i] = append(make([]byte, 0, len(v)), v...)
			}
			size += len(v)
		case string:
			size += len(v)
		}
	}
	return size + each*len(row)
}

// formats reports whether conn formats what it gets, so that it is the
// application that has its rows, and not one of Bun's builders.
func formats(conn bun.IConn) bool {
	_, ok := conn.(bun.IDB)
	return ok
}
