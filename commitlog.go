package echobun

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"github.com/echobun/echobun/driver"
)

// A commitLog is the table of a bind in which the decisions about two-phase
// transactions stand. Only what is there by the time that a transaction is
// asked about has been decided: a commit is decided when the row that says so
// is committed, together with the coordinator's own part; a rollback, when
// whoever recovers has inserted a row of the same key first.
//
// A further row holds the installation, a random name of this very table. It
// is part of the transactions' IDs, so that no other application's table, or
// a copy of this one, is ever asked.
//
// It has connections of its own. Those of the pool may all be held by
// transactions that wait for the log: none of them would go on.
type commitLog struct {
	e    *engine
	turn chan struct{} // Has room for the one who opens the log.

	mu           sync.Mutex // Protects what follows.
	installation string     // Empty until the table is known to be there.
	table        string     // With its schema, or its database.
	stale        bool       // Both have to be looked at again.

	opening sync.Mutex // Protects own.
	own     *bun.DB    // Nil until it is needed.
}

const (
	// logConns is how many connections a log has, beyond those of the pool.
	logConns = 2

	// logIdle is how long they are kept without work.
	logIdle = time.Minute
)

// db returns what the log is kept through, past Bun, which would write
// arguments into the text.
func (c *commitLog) db() *sql.DB { return c.conns().DB }

// conn returns a connection for recovery, which must not wait for a pool whose
// connections all wait for the locks of what is to be recovered.
func (c *commitLog) conn(ctx context.Context) (bun.Conn, error) {
	conn, err := c.conns().Conn(ctx)
	return conn, c.e.wrap("connect", err)
}

// conns returns connections of its own, or, on an engine of the user's own,
// what there is.
func (c *commitLog) conns() *bun.DB {
	if !c.e.owned {
		return c.e.db
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.own == nil {
		pool := sql.OpenDB(struct{ sqldriver.Connector }{c.e.connector}) // Closing it closes no connector.
		pool.SetMaxOpenConns(logConns)
		pool.SetMaxIdleConns(logConns)
		pool.SetConnMaxLifetime(c.e.connector.lifetime())
		pool.SetConnMaxIdleTime(logIdle)
		c.own = bun.NewDB(pool, c.e.drv.Dialect())
		if c.e.metadata.x.closed.Load() {
			_ = c.own.Close()
		}
	}
	return c.own
}

// close closes the connections of its own.
func (c *commitLog) close() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.own == nil {
		return nil
	}
	return c.own.Close()
}

const commitLogTable = "echobun_commits"

// The table has the same form on every database. When a decision was made is
// for who reads it: nothing hangs on a clock.
const commitLogDDL = `CREATE TABLE IF NOT EXISTS echobun_commits (
	id VARCHAR(64) NOT NULL PRIMARY KEY,
	decision VARCHAR(64) NOT NULL,
	binds TEXT NOT NULL,
	decided_at BIGINT NOT NULL
)`

// home returns the log's name in an ID. It is empty as long as the log is not open.
func (c *commitLog) home() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.installation == "" {
		return ""
	}
	return shortName(c.e.key) + "@" + c.installation
}

// open makes the table, if it is not there, on a connection of its own: DDL
// would commit a transaction on MySQL.
func (c *commitLog) open(ctx context.Context) error {
	if c.isOpen() {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return c.impossible(ctx.Err())
	}
	if c.isOpen() {
		return nil // Who had the turn before has done it.
	}
	return c.create(ctx)
}

func (c *commitLog) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.installation != "" && !c.stale
}

// seen notes the installation that a recovery has read. Where the table is, the
// next transaction finds out.
func (c *commitLog) seen(installation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = c.stale || c.installation != installation
	c.installation = installation
}

// opened notes an installation and where its table is.
func (c *commitLog) opened(ctx context.Context, installation string) error {
	table, err := c.place(ctx)
	if err != nil {
		return c.impossible(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.installation, c.table, c.stale = installation, table, false
	return nil
}

// place returns the table's name with that of its schema, or its database. A
// transaction that has changed the search path sees it under that.
func (c *commitLog) place(ctx context.Context) (string, error) {
	var query string
	switch {
	case c.e.is(dialect.PG):
		query = "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace " +
			"WHERE pg_class.oid = 'echobun_commits'::regclass"
	case c.e.is(dialect.MySQL):
		query = "SELECT DATABASE()"
	default:
		return commitLogTable, nil
	}
	var schema string
	if err := c.db().QueryRowContext(ctx, query).Scan(&schema); err != nil {
		return "", c.e.wrap("SELECT", err)
	}
	return string(c.e.db.QueryGen().AppendName(nil, schema)) + "." + commitLogTable, nil
}

// create makes the table and the installation, as far as they are not there.
func (c *commitLog) create(ctx context.Context) error {
	for range 3 { // Other processes may do the same.
		found, err := c.load(ctx)
		if found != "" {
			return c.opened(ctx, found)
		}
		if err == nil {
			err = c.insert(ctx, decision{ID: installationRow, Decision: newInstallation()})
		} else if !errors.Is(err, ErrUnavailable) && !errors.Is(err, errForeignRow) && ctx.Err() == nil {
			_, err = c.db().ExecContext(ctx, commitLogDDL)
		}
		if err != nil && !errors.Is(err, ErrUnique) {
			return c.impossible(err)
		}
	}
	found, err := c.load(ctx)
	if found == "" {
		return c.impossible(err)
	}
	return c.opened(ctx, found)
}

// reopen has the table looked at again before the next transaction: somebody
// may have dropped it. Transactions that are under way go on with its name.
func (c *commitLog) reopen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = true
}

// load returns the installation, which is empty if there is none yet. An
// error may mean that there is no table.
func (c *commitLog) load(ctx context.Context) (string, error) {
	d, err := c.read(ctx, installationRow)
	return d.Decision, err
}

// impossible is the error of a log that cannot be kept.
func (c *commitLog) impossible(err error) error {
	return &BindError{Bind: c.e.key, Op: "echobun_commits", Err: fmt.Errorf(
		"%w: the table of decisions cannot be kept there: make it as the documentation shows, with the rights to read, insert and delete: %w",
		ErrTwoPhase, err)}
}

// read returns a row, or the zero value if there is none.
func (c *commitLog) read(ctx context.Context, id string) (decision, error) {
	found, err := c.query(ctx, "id = ?", id)
	if err != nil || len(found) == 0 {
		return decision{}, err
	}
	// A collation that ignores case or blanks finds more than the one.
	if found[0].ID != id || !found[0].sound() {
		return decision{}, &BindError{Bind: c.e.key, Op: "SELECT", Err: errForeignRow}
	}
	return found[0], nil
}

// all returns the rows of an application, and how many there are that nobody
// can make sense of.
func (c *commitLog) all(ctx context.Context, app string) (rows map[string]decision, foreign int, err error) {
	found, err := c.query(ctx, "id LIKE ?", app+"/%")
	if err != nil {
		return nil, 0, err
	}
	rows = make(map[string]decision, len(found))
	for _, d := range found {
		switch {
		case !strings.HasPrefix(d.ID, app+"/"): // An underscore in LIKE finds more.
		case d.sound():
			rows[d.ID] = d
		default:
			foreign++
		}
	}
	return rows, foreign, nil
}

func (c *commitLog) query(ctx context.Context, where string, args ...any) (found []decision, err error) {
	query := c.placeholders("SELECT id, decision, binds FROM " + commitLogTable + " WHERE " + where)
	rows, err := c.db().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, c.e.wrap("SELECT", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, decided, binds sql.NullString // What somebody else has made may be null.
		if err := rows.Scan(&id, &decided, &binds); err != nil {
			return nil, c.e.wrap("SELECT", err)
		}
		found = append(found, decision{ID: id.String, Decision: decided.String, Binds: binds.String})
	}
	return found, c.e.wrap("SELECT", rows.Err())
}

// exec changes the table, in the transaction of a branch unless b is nil.
// What a statement says of a transaction is sent as arguments, never as text:
// some of it was read from a database that others may write to.
func (c *commitLog) exec(ctx context.Context, b *branch, format, table string, args ...any) (sql.Result, error) {
	sent := fmt.Sprintf(c.placeholders(format), table)
	if b != nil {
		return b.execArgs(ctx, fmt.Sprintf(format, table), sent, args)
	}
	return c.db().ExecContext(ctx, sent, args...)
}

// placeholders returns a statement of database/sql with the placeholders that
// the database has.
func (c *commitLog) placeholders(query string) string {
	if !c.e.is(dialect.PG) {
		return query
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// insertInto is insert for a row that recovery has to find under a name in IDs.
// The table is written with its schema, since a statement may have had the
// connection look elsewhere, by SET LOCAL search_path or USE; and the row goes
// in only if it is still the table of that installation, which another process
// may have made anew.
func (c *commitLog) insertInto(ctx context.Context, b *branch, home string, d decision) error {
	const insert = "INSERT INTO %[1]s (id, decision, binds, decided_at) SELECT ?, ?, ?, ? FROM %[1]s WHERE id = ? AND decision = ?"
	res, err := c.exec(ctx, b, insert, c.whereabouts(), d.ID, d.Decision, d.Binds, time.Now().Unix(), installationRow, installationOf(home))
	if err != nil {
		return c.e.wrap("INSERT", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = errOtherTable
	}
	return c.e.wrap("INSERT", err)
}

// errOtherTable is the reason for not deciding.
var errOtherTable = errors.New("the table has been made anew since the transaction has begun")

// whereabouts returns the table's name with its schema.
func (c *commitLog) whereabouts() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table
}

// is reports whether the logs of two binds, named so in IDs, are one. The name
// of an installation is not enough: a copied database has it too.
func (c *commitLog) is(other *commitLog, home, otherHome string) bool {
	if home == "" || installationOf(home) != installationOf(otherHome) {
		return false
	}
	return c == other || c.e.owned && other.e.owned && c.e.connector.opts.URL == other.e.connector.opts.URL
}

// insert adds a row; [ErrUnique] says that there is one with its ID.
func (c *commitLog) insert(ctx context.Context, d decision) error {
	_, err := c.exec(ctx, nil, "INSERT INTO %s (id, decision, binds, decided_at) VALUES (?, ?, ?, ?)", commitLogTable,
		d.ID, d.Decision, d.Binds, time.Now().Unix())
	return c.e.wrap("INSERT", err)
}

// remove removes rows, in one statement: on SQLite each would have to wait
// until it is its turn to write.
func (c *commitLog) remove(ctx context.Context, ids ...string) error {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	_, err := c.exec(ctx, nil, "DELETE FROM %s WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", commitLogTable, args...)
	return c.e.wrap("DELETE", err)
}

// claim decides that a transaction is rolled back, unless it has been decided
// already, and returns the decision. While the transaction is committing, this
// waits for the outcome.
func (c *commitLog) claim(ctx context.Context, id string) (decision, error) {
	abort := decision{ID: id, Decision: decidedAbort}
	for range 2 {
		if d, err := c.read(ctx, id); err != nil || d.Decision != "" {
			return d, err
		}
		err := c.insert(ctx, abort)
		if err == nil {
			return abort, nil
		}
		if !errors.Is(err, ErrUnique) {
			return decision{}, err
		}
	}
	return decision{}, &BindError{Bind: c.e.key, Op: "INSERT", Err: errors.New("the decision is there and not there"), class: driver.Serialization}
}
