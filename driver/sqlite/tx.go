package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"time"

	"github.com/echobun/echobun/internal/wire"
)

// Begin begins a transaction.
func (c *conn) Begin() (sqldriver.Tx, error) {
	return c.BeginTx(context.Background(), sqldriver.TxOptions{})
}

// BeginTx begins a transaction. SQLite's are serializable, so every isolation
// level is kept.
func (c *conn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if level := sql.IsolationLevel(opts.Isolation); level < sql.LevelDefault || level > sql.LevelLinearizable {
		return nil, fmt.Errorf("sqlite: unknown isolation level %d", level)
	}
	begin, v := "BEGIN "+c.n.set.begin, writes
	if opts.ReadOnly || c.n.set.begin == deferred {
		begin, v = "BEGIN "+deferred, 0
	}
	c.unit = wire.UnitOf(ctx)
	if err := c.run(ctx, v, func(inner context.Context) error {
		_, err := c.raw.ExecContext(inner, begin, nil)
		if err == nil {
			c.inside, c.managed, c.immediate, c.committed = true, true, v&writes != 0, false
		}
		return err
	}); err != nil {
		c.unit = nil
		return nil, err
	}
	t := &tx{c: c, limit: wire.CommitTimeout(ctx)}
	if opts.ReadOnly {
		if err := c.setQueryOnly(true); err != nil {
			_ = t.Rollback()
			return nil, err
		}
	}
	return t, nil
}

const deferred = "DEFERRED"

// tx is a transaction begun by BeginTx.
type tx struct {
	c     *conn
	limit time.Duration // Of COMMIT.
}

// Commit commits. If it fails, nothing is committed.
func (t *tx) Commit() error {
	err := t.c.lost
	if err == nil {
		if err = t.commit(); err != nil && !t.c.rolledBack {
			t.c.roll()
		}
		err = t.c.n.where.name(err)
	}
	t.end()
	return err
}

// commit waits for readers where it has to: in WAL mode and in memory there
// are none in its way.
func (t *tx) commit() error {
	once := func() error {
		_, err := t.c.raw.Exec("COMMIT", nil)
		return err
	}
	if t.c.wal || t.c.n.where.memory {
		return once()
	}
	return t.c.patiently(context.Background(), min(t.limit, t.c.n.set.busyTimeout), once)
}

// Rollback rolls back.
func (t *tx) Rollback() error {
	if t.c.lost == nil {
		t.c.roll()
	}
	t.end()
	return nil
}

// roll rolls back. A connection that cannot even do that is closed, which does.
func (c *conn) roll() {
	if _, err := c.raw.Exec("ROLLBACK", nil); err != nil {
		c.broken = true
	}
}

func (t *tx) end() {
	if err := t.c.setQueryOnly(t.c.n.set.queryOnly); err != nil {
		t.c.broken = true
	}
	t.c.forget()
}
