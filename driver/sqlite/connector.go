package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/echobun/echobun/driver"
)

// A connector opens the connections of one pool.
type connector struct {
	where   location
	set     *settings
	open    sqldriver.Connector
	timeout time.Duration // Of Connect; zero is no limit.
	memory  string        // Name of the database in memory.

	logger *slog.Logger
	bind   string
	warn   sync.Once

	mu     sync.Mutex
	anchor sqldriver.Conn // Keeps a database in memory alive. Guarded by mu.
	closed bool           // Guarded by mu.
}

// memories counts databases in memory, so that each has a name of its own.
var memories atomic.Int64

func newConnector(u *driver.URL, o driver.Options) (*connector, error) {
	if o.Credentials != nil {
		return nil, fmt.Errorf("sqlite: %w", driver.ErrNoCredentials)
	}
	set, err := newSettings(u.Parameters())
	if err != nil {
		return nil, err
	}
	where, err := locate(u, set, o.InstancePath)
	if err != nil {
		return nil, err
	}
	n := &connector{where: where, set: set, timeout: o.ConnectTimeout, logger: o.Logger, bind: o.Bind}
	n.open, err = modernc.NewConnector(n.dsn())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %v: %w", where, err)
	}
	return n, nil
}

// dsn is what modernc.org/sqlite opens. Only parameters of a fixed form and
// the escaped name go into it.
func (n *connector) dsn() string {
	query := maps.Clone(n.set.open)
	if !n.where.memory {
		return "file://" + escape(n.where.path) + "?" + query.Encode()
	}
	// A shared database in memory is told by the leading slash of its name.
	n.memory = "/echobun-" + strconv.FormatInt(memories.Add(1), 10)
	if n.where.shared != "" {
		n.memory = "/echobun/" + n.where.shared
	}
	for _, option := range []string{"mode", "cache", "immutable", "nolock", "psow"} {
		query.Del(option)
	}
	query.Set("vfs", "memdb")
	return "file://" + escape(n.memory) + "?" + query.Encode()
}

// Driver returns the driver below.
func (n *connector) Driver() sqldriver.Driver { return n.open.Driver() }

// Connect opens one connection and sets it up.
func (n *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	if err := n.keepAlive(ctx); err != nil {
		return nil, err
	}
	opened, err := n.open.Connect(ctx)
	if err != nil {
		return nil, n.where.name(err)
	}
	end, returned := opened.Close, false
	defer func() {
		if !returned { // Also for a logger that panics, or functions of the application's.
			_ = end()
		}
	}()
	c, err := n.newConn(opened)
	if err != nil {
		return nil, err
	}
	end = c.Close
	if err := c.setUp(ctx); err != nil {
		return nil, err
	}
	returned = true
	return c, nil
}

// keepAlive opens the connection that a database in memory lives by. It never
// carries a statement.
func (n *connector) keepAlive(ctx context.Context) error {
	if !n.where.memory {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errClosed
	}
	if n.anchor != nil {
		return nil
	}
	var err error
	n.anchor, err = n.open.Connect(ctx)
	return n.where.name(err)
}

// Close lets a database in memory go. The pool calls it when it is closed.
func (n *connector) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.anchor == nil {
		return nil
	}
	err := n.anchor.Close()
	n.anchor = nil
	return err
}

// warnNoHandle says once what is lost with an unknown modernc.org/sqlite.
func (n *connector) warnNoHandle() {
	n.warn.Do(func() {
		logger := n.logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.Warn("echobun: unknown version of modernc.org/sqlite: a context that ends does not interrupt a query between rows, "+
			"nor a wait for the lock of another process", "bind", n.bind)
	})
}
