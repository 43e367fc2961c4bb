package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

func (n *connector) newConn(opened sqldriver.Conn) (*conn, error) {
	raw, ok := opened.(rawConn)
	if !ok {
		return nil, errors.New("sqlite: this version of modernc.org/sqlite lacks methods that are needed")
	}
	c := &conn{raw: raw, n: n}
	if c.in.handle = handleOf(opened); c.in.handle == nil {
		n.warnNoHandle()
	}
	return c, nil
}

// setUp configures a new connection.
func (c *conn) setUp(ctx context.Context) error {
	s := c.n.set
	c.raw.RegisterRollbackHook(func() { c.rolledBack = true })
	c.raw.RegisterCommitHook(func() int32 {
		c.committed = true
		return 0
	})
	err := c.pragmas("busy_timeout("+strconv.FormatInt(s.busyTimeout.Milliseconds(), 10)+")",
		"foreign_keys("+strconv.FormatBool(s.foreignKeys)+")")
	if err != nil {
		return err
	}
	if c.n.where.memory {
		return c.setUpMemory(ctx)
	}
	// SQLite does not wait everywhere it can be refused: not when several
	// processes make a file and change it to WAL at once.
	limit := s.busyTimeout
	if c.n.timeout > 0 {
		limit = min(limit, c.n.timeout)
	}
	return c.patiently(ctx, limit, func() error { return c.setUpFile(ctx) })
}

// setUpMemory takes the gate for pragmas of the user's: those that read the
// schema would fail while somebody writes.
func (c *conn) setUpMemory(ctx context.Context) error {
	c.gate = gateOf("memory:" + c.n.memory)
	if len(c.n.set.pragmas) > 0 {
		if _, err := c.lock(ctx); err != nil {
			return err
		}
		defer c.unlock()
	}
	if err := c.pragmas(c.n.set.pragmas...); err != nil {
		return err
	}
	return c.setQueryOnly(c.n.set.queryOnly)
}

func (c *conn) setUpFile(ctx context.Context) error {
	// SQLite's own name of the file is the same for all ways to write it.
	path, err := c.ask(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'")
	if err != nil {
		return err
	}
	c.gate = gateOf("file:" + c.n.set.vfs() + ":" + path)

	// The user's own come first: some have no effect once there are tables,
	// which the change to WAL needs.
	if err := c.pragmas(c.n.set.pragmas...); err != nil {
		return err
	}
	if err := c.setJournalMode(ctx); err != nil {
		return err
	}
	if err := c.pragmas("synchronous(" + c.n.set.synchronous + ")"); err != nil {
		return err
	}
	return c.setQueryOnly(c.n.set.queryOnly)
}

// setJournalMode leaves a file that can only be read as it is, unless a
// parameter asks for a mode.
func (c *conn) setJournalMode(ctx context.Context) error {
	pragma := "PRAGMA journal_mode(" + c.n.set.journalMode + ")"
	if c.n.set.given["journal_mode"] == "" {
		if readOnly, err := c.raw.IsReadOnly("main"); err == nil && readOnly {
			pragma = "PRAGMA journal_mode"
		}
	}
	mode, err := c.ask(ctx, pragma)
	c.wal = strings.EqualFold(mode, "WAL")
	return err
}

// inWAL asks for the mode of the file.
func (c *conn) inWAL() bool {
	mode, err := c.ask(context.Background(), "PRAGMA journal_mode")
	return err == nil && strings.EqualFold(mode, "WAL")
}

// setQueryOnly makes the connection refuse to write, or lets it write again.
func (c *conn) setQueryOnly(on bool) error {
	if c.queryOnly == on {
		return nil
	}
	if err := c.pragmas("query_only(" + strconv.FormatBool(on) + ")"); err != nil {
		return err
	}
	c.queryOnly = on
	return nil
}

func (c *conn) pragmas(list ...string) error {
	for _, pragma := range list {
		if _, err := c.raw.Exec("PRAGMA "+pragma, nil); err != nil {
			return fmt.Errorf("sqlite: PRAGMA %s: %w", pragma, c.n.where.name(err))
		}
	}
	return nil
}

// ask returns the first column of the first row, a text.
func (c *conn) ask(ctx context.Context, query string) (string, error) {
	rows, err := c.raw.QueryContext(ctx, query, nil)
	if err != nil {
		return "", c.n.where.name(err)
	}
	row := make([]sqldriver.Value, len(rows.Columns()))
	if err = rows.Next(row); errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, rows.Close()); err != nil {
		return "", c.n.where.name(err)
	}
	if len(row) == 0 {
		return "", nil
	}
	text, _ := row[0].(string)
	return text, nil
}
