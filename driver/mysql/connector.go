package mysql

import (
	"context"
	"crypto/tls"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/uptrace/bun/dialect/feature"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// A connector opens the connections of one pool, and knows what its server
// can do. It is safe for concurrent use.
type connector struct {
	settings *settings
	inner    sqldriver.Connector
	warning  wire.InsecureWarning
	verified atomic.Bool // Of the newest connection: the server's certificate is checked.
	killer   killer

	credentials wire.Credentials // Nil for those of the URL.

	features atomic.Pointer[feature.Feature] // Of the newest connection's server.
	asking   sync.Mutex                      // Protects asked.
	asked    time.Time                       // When the server was last asked in vain.
}

func newConnector(s *settings, o driver.Options) (*connector, error) {
	c := &connector{settings: s, warning: wire.InsecureWarning{Bind: o.Bind, Logger: o.Logger}, credentials: o.Credentials}
	s.cfg.DialFunc = dial
	// Go-sql-driver gives such a hook a Config of its own for each connection.
	// Without it, tls=preferred would be off for good, for all connections,
	// once a server had been without TLS.
	if err := s.cfg.Apply(gomysql.BeforeConnect(c.beforeConnect)); err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	var err error
	if c.inner, err = gomysql.NewConnector(s.cfg); err != nil {
		return nil, nameParameter(err)
	}
	if c.killer.inner, err = gomysql.NewConnector(sideConfig(s.cfg)); err != nil {
		return nil, nameParameter(err)
	}
	return c, nil
}

// nameParameter says which parameter go-sql-driver could not make sense of.
func nameParameter(err error) error {
	switch {
	case strings.Contains(err.Error(), "pub key"):
		return errors.New("mysql: parameter serverPubKey: no key was registered by that name with RegisterServerPubKey")
	case strings.Contains(err.Error(), "config name"):
		return errors.New("mysql: parameter tls: it is true, false, skip-verify, preferred, " +
			"or a name registered with RegisterTLSConfig")
	}
	return fmt.Errorf("mysql: %w", err)
}

// sideConfig is for connections that only send a KILL.
func sideConfig(cfg *gomysql.Config) *gomysql.Config {
	side := cfg.Clone()
	side.Params, side.DBName = nil, ""
	return side
}

// Connect opens a connection, and learns from it what the server can do.
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	cn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	f := serverFeatures(cn.hello.version)
	c.features.Store(&f)
	returned := false
	defer closeUnless(&returned, &line{conn: cn.net})
	c.warning.Check(c.settings.host, c.verified.Load(), "tls=true, or EngineOptions.TLS")
	returned = true
	return cn, nil
}

// Driver returns a value that leads a dialect to this connector.
func (c *connector) Driver() sqldriver.Driver { return connectorDriver{c} }

// Close waits for what is still on its way, no longer than [killLimit]. The
// pool calls it when it is closed.
func (c *connector) Close() error {
	c.killer.close()
	return nil
}

// errLoginRefused is the number of a refused user or password.
const errLoginRefused = 1045

// connectorDriver is what [database/sql.DB.Driver] returns for a pool of ours.
type connectorDriver struct{ connector *connector }

// Open fails: there is no data source name here.
func (connectorDriver) Open(string) (sqldriver.Conn, error) {
	return nil, errors.New("mysql: use sql.OpenDB with a connector of this package")
}

// connect opens and checks one connection within the time limit.
func (c *connector) connect(ctx context.Context) (*conn, error) {
	limited, cancel := limit(ctx, c.settings.connectTimeout)
	defer cancel()

	cn, err := c.open(limited)
	if err == nil {
		return cn, nil
	}
	err = named(err)
	if refusesParameter(err) {
		err = wire.RefusedParameter(err)
	}
	if limited.Err() != nil && ctx.Err() == nil {
		// The caller's context has not ended, so the error must not look so.
		err = fmt.Errorf("no connection within %v: %w", c.settings.connectTimeout, os.ErrDeadlineExceeded)
	}
	return nil, fmt.Errorf("mysql: connect to %s: %w", c.settings.cfg.Addr, err)
}

// isRefusedLogin reports whether the server has refused user or password.
func isRefusedLogin(err error) bool {
	var server *gomysql.MySQLError
	return errors.As(err, &server) && server.Number == errLoginRefused
}

// refusesParameter reports whether the server knows no system variable of a
// parameter's name, or not such a value, or lets nobody or not everybody set it
// for a session.
func refusesParameter(err error) bool {
	var server *gomysql.MySQLError
	return errors.As(err, &server) && slices.Contains([]uint16{1193, 1227, 1229, 1231, 1232, 1238, 1273}, server.Number)
}

// named gives the error of a connection that broke before anything was written
// on it a name that [classify] knows. Go-sql-driver keeps its own to itself.
func named(err error) error {
	if err.Error() == "bad connection" {
		return gomysql.ErrInvalidConn
	}
	return err
}

func limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

func (c *connector) open(ctx context.Context) (*conn, error) {
	line, returned := new(line), false
	defer closeUnless(&returned, line)
	raw, err := c.inner.Connect(context.WithValue(ctx, lineKey{}, line))
	if c.credentials != nil && isRefusedLogin(err) {
		// The password may have changed since it was asked for.
		raw, err = c.inner.Connect(context.WithValue(ctx, lineKey{}, line))
	}
	returned = err != nil // Go-sql-driver has closed it.
	if err != nil {
		return nil, err
	}
	cn, err := newConn(ctx, c, raw, line.conn)
	if err != nil {
		_ = raw.Close() // The first error is the one that matters.
		return nil, err
	}
	returned = true
	return cn, nil
}

// beforeConnect sees the TLS configuration that a registered name stands for.
// It leaves the texts of times to [rows.readTimes].
func (c *connector) beforeConnect(ctx context.Context, cfg *gomysql.Config) (err error) {
	cfg.ParseTime = false
	c.verified.Store(verifies(cfg.TLS) && !cfg.AllowFallbackToPlaintext)
	cfg.TLS = wire.GuardedTLS(cfg.TLS)
	if c.credentials != nil {
		cfg.User, cfg.Passwd, err = c.credentials.Ask(ctx, 0) // Ctx has the limit already.
	}
	return err
}

func verifies(c *tls.Config) bool {
	return c != nil && (!c.InsecureSkipVerify || c.VerifyConnection != nil || c.VerifyPeerCertificate != nil)
}

// A line is the network connection below a connection of go-sql-driver, which
// keeps it to itself.
type line struct {
	to   net.Addr // Where to dial, if not where the Config says.
	conn net.Conn
}

type lineKey struct{}

// dial is the Config's DialFunc. It leaves the connection in ctx's line.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l, ok := ctx.Value(lineKey{}).(*line)
	if !ok {
		l = new(line)
	}
	if l.to != nil {
		network, addr = l.to.Network(), l.to.String()
	}
	var err error
	l.conn, err = new(net.Dialer).DialContext(ctx, network, addr)
	return l.conn, err
}

// closeUnless is deferred where code of the application's runs between the
// opening of a connection and its end: the callbacks of a TLS configuration, a
// logger. Nobody else would close it if that panics, or ends its goroutine.
func closeUnless(returned *bool, l *line) {
	if !*returned && l.conn != nil {
		_ = l.conn.Close()
	}
}
