package echobun

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"
)

// This file sends the statements of a session that is in a transaction. They
// run on the transaction's branch, and one that fails dooms it.

func (h *handle) execInTx(ctx context.Context, format bool, query string, args []any) (res sql.Result, err error) {
	b, err := h.branch(ctx, query)
	if err != nil {
		return nil, err
	}
	ctx, start := h.sends(ctx, query, b)
	returned := false
	defer func() {
		h.s.app.timed(h.e, start)
		if !returned {
			h.s.level.failed(b, errPanicked)
		}
	}()
	res, err = b.sender(format).ExecContext(ctx, query, args...)
	returned = true
	if err != nil {
		return nil, h.refused(b, query, err)
	}
	return res, nil
}

func (h *handle) queryInTx(ctx context.Context, format bool, query string, args []any) (rows *sql.Rows, err error) {
	b, err := h.branch(ctx, query)
	if err != nil {
		return nil, err
	}
	ctx, start := h.sends(ctx, query, b)
	returned := false
	defer func() {
		h.s.app.timed(h.e, start)
		if !returned {
			h.s.level.failed(b, errPanicked)
		}
	}()
	rows, err = b.sender(format).QueryContext(h.e.replies(ctx, query, true), query, args...) //nolint:sqlclosecheck // They are the caller's.
	returned = true
	if err != nil {
		return nil, h.refused(b, query, err)
	}
	return rows, nil
}

func (h *handle) queryRowInTx(ctx context.Context, format bool, query string, args []any) (row *sql.Row) {
	b, err := h.branch(ctx, query)
	if err != nil {
		return errorRow(err) //nolint:contextcheck // It takes a context that is over.
	}
	ctx, start := h.sends(ctx, query, b)
	returned := false
	defer func() {
		h.s.app.timed(h.e, start)
		if !returned {
			h.s.level.failed(b, errPanicked)
		}
	}()
	row = b.sender(format).QueryRowContext(h.e.replies(ctx, query, true), query, args...)
	returned = true
	if err := row.Err(); err != nil {
		return errorRow(h.refused(b, query, err)) //nolint:contextcheck // As above.
	}
	return row
}

// branch returns the branch of the session's transaction on the handle's engine.
func (h *handle) branch(ctx context.Context, query string) (*branch, error) {
	if err := h.s.usable(); err != nil {
		return nil, err
	}
	b, err := h.s.level.branch(ctx, h.e)
	if err != nil {
		return nil, h.e.outsideOr(query, err)
	}
	if h.e.owned {
		return b, nil // Its connection looks, whoever sends the statement.
	}
	if err := h.e.mayRun(query); err != nil {
		return nil, h.refused(b, query, err)
	}
	return b, nil
}

// sender returns what sends statements: with Bun's formatting and hooks, or
// finished SQL as it is.
func (b *branch) sender(format bool) bun.IConn {
	if format {
		return b.tx
	}
	return b.tx.Tx
}

// refused dooms the transaction by the failure of a statement.
func (h *handle) refused(b *branch, query string, err error) error {
	err = h.e.wrap(operation(query), h.overtakenTx(err))
	h.s.level.failed(b, err)
	return err
}

var errPanicked = errors.New("a query hook panicked")

// overtakenTx explains the error of a statement whose transaction ended
// meanwhile.
func (h *handle) overtakenTx(err error) error {
	if !errors.Is(err, sql.ErrTxDone) {
		return h.e.overtaken(err)
	}
	if ended := h.s.usable(); ended != nil {
		return ended
	}
	t := h.s.level.t
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmpError(t.doomError(), errTxOver)
}

// outsideOr names the bind and the statement in an error that does not.
func (e *engine) outsideOr(query string, err error) error {
	var bindErr *BindError
	if errors.As(err, &bindErr) && !errors.Is(err, ErrTxDoomed) {
		return err
	}
	return &BindError{Bind: e.key, Op: operation(query), Err: err}
}

// admits returns why a statement of a plain session must not be sent, or nil.
func (s *Session) admits(ctx context.Context, e *engine, query string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.outside(ctx); err != nil {
		return &BindError{Bind: e.key, Op: operation(query), Err: err}
	}
	return nil
}
