package pgx

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	jackc "github.com/jackc/pgx/v5"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

var errNested = errors.New("pgx: the connection is already in a transaction, begun by a statement: end that first")

// A tx is a transaction. Its end obeys a time limit of its own and not the
// context that began it: a request that ends while its COMMIT is under way
// would get an error for what was done.
type tx struct {
	conn     *conn
	limit    time.Duration
	readOnly bool
	branch   *driver.Branch // Nil unless it may be prepared.
	marked   mark           // Known when the COMMIT is sent.
}

// Begin is BeginTx with neither context nor options.
func (c *conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// BeginTx begins a transaction. BEGIN obeys ctx; COMMIT and ROLLBACK have the
// time limit that [wire.CommitTimeout] reads from it.
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	begin, err := beginSQL(opts)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if c.inTx() {
		return nil, errNested
	}
	_, err = c.pg.Exec(ctx, begin)
	for err != nil && c.runsAgain(ctx, statement{query: begin}, err) {
		_, err = c.pg.Exec(ctx, begin)
	}
	if err != nil {
		if c.inTx() {
			c.kill(ctx)
		}
		return nil, c.harmless(ctx, false, err)
	}
	return &tx{conn: c, limit: wire.CommitTimeout(ctx), readOnly: opts.ReadOnly, branch: driver.BranchOf(ctx)}, nil
}

// isolations are the levels of database/sql that PostgreSQL has.
var isolations = map[sql.IsolationLevel]string{
	sql.LevelDefault:         "",
	sql.LevelReadUncommitted: " isolation level read uncommitted",
	sql.LevelReadCommitted:   " isolation level read committed",
	sql.LevelRepeatableRead:  " isolation level repeatable read",
	sql.LevelSnapshot:        " isolation level repeatable read",
	sql.LevelSerializable:    " isolation level serializable",
}

func beginSQL(opts sqldriver.TxOptions) (string, error) {
	level := sql.IsolationLevel(opts.Isolation)
	isolation, ok := isolations[level]
	if !ok {
		return "", fmt.Errorf("pgx: PostgreSQL has no isolation level %q: use %q or %q", level, sql.LevelRepeatableRead, sql.LevelSerializable)
	}
	if opts.ReadOnly {
		isolation += " read only"
	}
	return "begin" + isolation, nil
}

// Commit commits, or prepares the transaction if its branch says so. If the
// answer to a COMMIT is lost, the server is asked once more; an outcome that
// it cannot tell is unknown.
func (t *tx) Commit() error {
	if t.branch != nil && t.branch.Prepare {
		return t.prepare(t.branch.ID)
	}
	start := time.Now()
	err := t.end("commit", "COMMIT")
	if wire.IsOutcomeUnknown(err) {
		return t.resolve(start, err)
	}
	return err
}

// end ends the transaction by a statement that is answered with a tag. An
// error that the server did not send leaves the outcome unknown.
func (t *tx) end(query, want string) error {
	if err := t.gone(); err != nil {
		return err
	}
	ctx, cancel := t.deadline()
	defer cancel()
	if err := t.prologue(ctx, want); err != nil {
		return err
	}
	tag, err := t.conn.pg.Exec(ctx, query)
	if err == nil {
		if tag.String() != want {
			return fmt.Errorf("pgx: the server answered %s with %s, since an earlier statement had failed: %w",
				want, tag, jackc.ErrTxCommitRollback)
		}
		return nil
	}
	err = t.conn.failed(ctx, statement{query: query, inTx: true}, err)
	if t.conn.inTx() && !t.conn.pgc.IsClosed() {
		t.conn.kill(ctx)
	}
	if serverError(err) == nil {
		return unknown(err)
	}
	return err
}

// prologue learns what has to be known of the transaction in case that the
// answer to its COMMIT is lost. If that fails, so does the COMMIT, and nothing
// has been committed.
func (t *tx) prologue(ctx context.Context, want string) (err error) {
	if want != "COMMIT" {
		return nil
	}
	if t.marked, err = t.mark(ctx); err == nil {
		return nil
	}
	err = t.conn.failed(ctx, statement{query: "select", inTx: true}, err)
	t.conn.kill(ctx) // It still is in the transaction.
	return err
}

// unknown says that the outcome is, unless err already does.
func unknown(err error) error {
	if wire.IsOutcomeUnknown(err) {
		return err
	}
	return wire.OutcomeUnknown(err)
}

// Rollback rolls back. It succeeds on a lost connection, whose transaction the
// server rolls back by itself.
func (t *tx) Rollback() error {
	if t.gone() != nil {
		return nil
	}
	ctx, cancel := t.deadline()
	defer cancel()
	tag, err := t.conn.pg.Exec(ctx, "rollback")
	if err == nil && !t.conn.inTx() {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("the server answered ROLLBACK with %s", tag)
	}
	t.conn.kill(ctx)
	return &lostError{cause: withContext(ctx, err)}
}

// gone says that the connection, and with it the transaction, has ended.
func (t *tx) gone() error {
	if t.conn.canceller.uncertain.Load() {
		t.conn.kill(context.Background())
	}
	if t.conn.pgc.IsClosed() {
		return &lostError{cause: errNoReply}
	}
	return nil
}

// deadline returns the context of COMMIT and ROLLBACK. What the driver takes
// to give a connection up counts against the limit.
func (t *tx) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), max(t.limit-cancelLimit, t.limit/2))
}
