package driver

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/echobun/echobun/internal/wire"
)

// ErrNotPrepared is returned by [TwoPhase.CommitPrepared] and
// [TwoPhase.RollbackPrepared] when no transaction is prepared under the ID, or
// when the database lets nobody finish it but the connection that prepared it.
var ErrNotPrepared = errors.New("no such prepared transaction")

// ErrStandby is returned by [TwoPhase.Prepared] when the server is a standby
// that does not show what is prepared on its primary.
var ErrStandby = errors.New("the server is a standby, which does not list prepared transactions")

// A TwoPhase is a [Driver] whose databases can prepare a transaction: promise
// that it can be committed later, whatever happens meanwhile.
//
// A transaction that may be prepared has a [Branch] in the context of its
// BeginTx. Commit of the driver's Tx prepares it under the Branch's ID if
// Branch.Prepare is set by then, and commits it otherwise. An error of Commit
// that leaves open whether it was prepared is of class [OutcomeUnknown].
// Rollback rolls it back before it is prepared, as usual.
type TwoPhase interface {
	// CanPrepare returns why the server that conn is connected to cannot
	// prepare transactions, for a message: a setting, a missing right. The
	// refusal is empty if it can; err says that it could not be found out.
	CanPrepare(ctx context.Context, conn bun.Conn) (refusal string, err error)

	// CommitPrepared commits the prepared transaction. If it was prepared on
	// conn itself, the connection is as good as new afterwards.
	CommitPrepared(ctx context.Context, conn bun.Conn, id string) error

	// RollbackPrepared rolls the prepared transaction back, as CommitPrepared
	// commits it.
	RollbackPrepared(ctx context.Context, conn bun.Conn, id string) error

	// Prepared returns the IDs of the transactions that are prepared and can
	// be finished through conn, whoever prepared them. Where transactions do
	// not belong to a database, it returns those of the whole server. A server
	// that may have some and does not show them is [ErrStandby].
	Prepared(ctx context.Context, conn bun.Conn) ([]string, error)
}

// A Branch is one database's part of a two-phase transaction. It is used by
// one goroutine at a time.
type Branch struct {
	// ID names the transaction while it is prepared: at most 128 bytes, of
	// letters, digits and "/._-~@". It may change until Commit unless Fixed is set.
	ID string

	// Fixed is set by a BeginTx that has told the server the ID.
	Fixed bool

	// Prepare makes Commit prepare the transaction.
	Prepare bool
}

// WithBranch returns a context that makes a BeginTx called with it begin a
// transaction that may be prepared.
func WithBranch(ctx context.Context, b *Branch) context.Context {
	return context.WithValue(ctx, wire.BranchKey{}, b)
}

// BranchOf returns the branch that a driver's BeginTx is called for, or nil
// for an ordinary transaction.
func BranchOf(ctx context.Context) *Branch {
	b, _ := ctx.Value(wire.BranchKey{}).(*Branch)
	return b
}
