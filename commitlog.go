package echobun

import (
	"context"
	"crypto/rand"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
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

// db returns what the log is kept through.
func (c *commitLog) db() bun.IConn { return c.conns().DB }

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

// The table has the same form on every database.
const commitLogDDL = `CREATE TABLE IF NOT EXISTS echobun_commits (
	id VARCHAR(64) NOT NULL PRIMARY KEY,
	decision VARCHAR(64) NOT NULL,
	binds TEXT NOT NULL,
	decided_at BIGINT NOT NULL
)`

// What may have been decided. A decision that begins with see is no decision,
// but says whose log has it.
const (
	decidedCommit = "commit"
	decidedAbort  = "abort"
	decidedSee    = "see "
)

const installationRow = "installation"

// A decision is a row of the log.
type decision struct {
	ID       string // Of the transaction, with its application.
	Decision string
	Binds    string // Short names of the binds that took part, with spaces between them.
	At       int64  // When it was made, in seconds of Unix time.
}

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
		return "echobun_commits", nil
	}
	var schema string
	if err := c.db().QueryRowContext(ctx, query).Scan(&schema); err != nil {
		return "", c.e.wrap("SELECT", err)
	}
	return string(c.e.db.QueryGen().AppendName(nil, schema)) + ".echobun_commits", nil
}

// create makes the table and the installation, as far as they are not there.
func (c *commitLog) create(ctx context.Context) error {
	for range 3 { // Other processes may do the same.
		found, err := c.load(ctx)
		if found != "" {
			return c.opened(ctx, found)
		}
		if err == nil {
			err = c.insert(ctx, c.db(), decision{ID: installationRow, Decision: newInstallation()})
		} else if !errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
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
	d, err := c.read(ctx, c.db(), installationRow)
	return d.Decision, err
}

func newInstallation() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// impossible is the error of a log that cannot be kept.
func (c *commitLog) impossible(err error) error {
	return &BindError{Bind: c.e.key, Op: "echobun_commits", Err: fmt.Errorf(
		"%w: the table of decisions cannot be kept there: make it as the documentation shows, with the rights to read, insert and delete: %w",
		ErrTwoPhase, err)}
}

// read returns a row, or the zero value if there is none.
func (c *commitLog) read(ctx context.Context, db bun.IConn, id string) (decision, error) {
	found, err := c.query(ctx, db, "id = "+logString(id))
	if err != nil || len(found) == 0 {
		return decision{}, err
	}
	return found[0], nil
}

// all returns the rows of an application.
func (c *commitLog) all(ctx context.Context, app string) (map[string]decision, error) {
	found, err := c.query(ctx, c.db(), "id LIKE "+logString(app+"/%"))
	if err != nil {
		return nil, err
	}
	rows := make(map[string]decision, len(found))
	for _, d := range found {
		if strings.HasPrefix(d.ID, app+"/") { // An underscore in LIKE finds more.
			rows[d.ID] = d
		}
	}
	return rows, nil
}

func (c *commitLog) query(ctx context.Context, db bun.IConn, where string) (found []decision, err error) {
	rows, err := db.QueryContext(ctx, "SELECT id, decision, binds, decided_at FROM echobun_commits WHERE "+where)
	if err != nil {
		return nil, c.e.wrap("SELECT", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d decision
		if err := rows.Scan(&d.ID, &d.Decision, &d.Binds, &d.At); err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, c.e.wrap("SELECT", rows.Err())
}

// insertInto is insert for a row that recovery has to find under a name in IDs.
// The table is written with its schema, since a statement may have had the
// connection look elsewhere, by SET LOCAL search_path or USE; and the row goes
// in only if it is still the table of that installation, which another process
// may have made anew.
func (c *commitLog) insertInto(ctx context.Context, db bun.IConn, home string, d decision) error {
	table := c.whereabouts()
	res, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (id, decision, binds, decided_at) "+
		"SELECT %s, %s, %s, %d FROM %s WHERE id = %s AND decision = %s", table, logString(d.ID), logString(d.Decision),
		logString(d.Binds), time.Now().Unix(), table, logString(installationRow), logString(installationOf(home))))
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

// installationOf returns what is behind the bind in a log's name.
func installationOf(home string) string {
	_, installation, _ := strings.Cut(home, "@")
	return installation
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
func (c *commitLog) insert(ctx context.Context, db bun.IConn, d decision) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO echobun_commits (id, decision, binds, decided_at) VALUES (%s, %s, %s, %d)",
		logString(d.ID), logString(d.Decision), logString(d.Binds), time.Now().Unix()))
	return c.e.wrap("INSERT", err)
}

func (c *commitLog) remove(ctx context.Context, id string) error {
	_, err := c.db().ExecContext(ctx, "DELETE FROM echobun_commits WHERE id = "+logString(id))
	return c.e.wrap("DELETE", err)
}

// claim decides that a transaction is rolled back, unless it has been decided
// already, and returns the decision. While the transaction is committing, this
// waits for the outcome.
func (c *commitLog) claim(ctx context.Context, id string) (decision, error) {
	abort := decision{ID: id, Decision: decidedAbort}
	for range 2 {
		if d, err := c.read(ctx, c.db(), id); err != nil || d.Decision != "" {
			return d, err
		}
		err := c.insert(ctx, c.db(), abort)
		if err == nil {
			return abort, nil
		}
		if !errors.Is(err, ErrUnique) {
			return decision{}, err
		}
	}
	return decision{}, &BindError{Bind: c.e.key, Op: "INSERT", Err: errors.New("the decision is there and not there"), class: driver.Serialization}
}

// logString returns a string of the log as SQL. It has none but an ID's
// characters, spaces and a per cent sign.
func logString(s string) string { return "'" + s + "'" }
