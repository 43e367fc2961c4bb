package pgx

import (
	"context"
	"crypto/tls"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// A connector makes the connections of one pool. It is safe for concurrent
// use. Closing the pool closes it.
type connector struct {
	std      sqldriver.Connector
	asks     bool   // For a password, at each connection.
	hosts    string // For the warning.
	verified bool   // TLS, where there is any, checks the server's certificate.
	warning  *wire.InsecureWarning
	dialer   *dialer
}

var (
	_ sqldriver.Connector = (*connector)(nil)
	_ io.Closer           = (*connector)(nil)
)

func newConnector(cfg *jackc.ConnConfig, o driver.Options) *connector {
	c := &connector{
		std:      newStdConnector(*cfg, o.Credentials),
		asks:     o.Credentials != nil,
		hosts:    describeHosts(cfg),
		verified: verifies(cfg.TLSConfig),
		warning:  &wire.InsecureWarning{Bind: o.Bind, Logger: o.Logger},
	}
	for _, f := range cfg.Fallbacks {
		c.verified = c.verified || verifies(f.TLSConfig)
	}
	c.dialer = newDialer(c.dial)
	return c
}

// newStdConnector returns pgx's own connector. Its configuration gets the
// password only when it connects, so that none shows if a connector is printed.
func newStdConnector(cfg jackc.ConnConfig, credentials wire.Credentials) sqldriver.Connector {
	password := cfg.Password
	cfg.Password = ""
	return stdlib.GetConnector(cfg,
		stdlib.OptionBeforeConnect(func(ctx context.Context, cfg *jackc.ConnConfig) (err error) {
			cfg.Password = password
			if credentials != nil {
				cfg.User, cfg.Password, err = credentials.Ask(ctx, cfg.ConnectTimeout)
			}
			return err
		}),
		// The pings of conn take the place of pgx's.
		stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false }))
}

// Connect returns a new connection, or one that an earlier caller did not wait
// for until it was there. The caller's context only bounds the wait.
func (c *connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.dialer.get(ctx)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Driver returns pgx's driver. It knows nothing of the connector's URL.
func (c *connector) Driver() sqldriver.Driver { return stdlib.GetDefaultDriver() }

// Close ends the connections under way and those that nobody has taken yet.
func (c *connector) Close() error {
	c.dialer.close()
	return nil
}

// A connectError is a connection that could not be made.
type connectError struct{ cause error }

func (e *connectError) Error() string { return "pgx: " + e.cause.Error() }

func (e *connectError) Unwrap() error { return e.cause }

// dial makes one connection. The callbacks of a TLS configuration and the logger
// are the application's: if one panics, or ends its goroutine, nobody else
// closes the socket.
func (c *connector) dial(ctx context.Context) (*conn, error) {
	l, returned := new(line), false
	defer func() {
		if !returned {
			l.close()
		}
	}()
	conn, err := c.build(wanted(ctx, l))
	returned = true
	return conn, err
}

func (c *connector) build(ctx context.Context) (*conn, error) {
	dc, err := c.std.Connect(ctx)
	if c.asks && isRefusedLogin(err) {
		dc, err = c.std.Connect(ctx) // The password may have changed since it was asked for.
	}
	if err != nil {
		err = withoutPassword(err)
		if refusesParameter(err) {
			err = wire.RefusedParameter(err)
		}
		return nil, &connectError{cause: err}
	}
	std, ok := dc.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pgx: unexpected type of connection %T", dc), dc.Close())
	}
	conn := newConn(std) //nolint:contextcheck // What it learns of contexts, it learns of one that is over.
	if conn == nil {
		return nil, errors.Join(errors.New("pgx: connection without canceller"), dc.Close())
	}
	conn.connector, conn.functions = c, conn.xids()
	if err := conn.checkSession(ctx); err != nil {
		conn.kill(ctx)
		return nil, &connectError{cause: err}
	}
	c.warn(conn.pgc.Conn())
	return conn, nil
}

// refusesParameter reports whether the server, or PgBouncer before it, does not
// know a setting that is to be made for the session, or not such a value.
func refusesParameter(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return false
	}
	switch server.Code {
	case "42704", "22023", "55P02":
		return true
	}
	return server.Code == "08P01" && strings.Contains(server.Message, "startup parameter")
}

// isRefusedLogin reports whether the server has refused user or password.
func isRefusedLogin(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && (server.Code == "28P01" || server.Code == "28000")
}

// withoutPassword takes the password out of what an error of pgx's refers to.
// Its text has none, but its fields could be printed.
func withoutPassword(err error) error {
	var cerr *pgconn.ConnectError
	if errors.As(err, &cerr) && cerr.Config != nil {
		cfg := cerr.Config.Copy()
		cfg.Password = ""
		cerr.Config = cfg
	}
	return err
}

// checkSession refuses a server, database or role whose default makes Bun's
// statements injectable. Servers tell of it when a connection begins; one that
// does not is asked.
func (c *conn) checkSession(ctx context.Context) error {
	value := c.pgc.ParameterStatus(conformingStrings)
	if value == "" {
		results, err := c.pgc.Exec(ctx, "SHOW "+conformingStrings).ReadAll()
		if err != nil {
			return err
		}
		if len(results) == 1 && len(results[0].Rows) == 1 {
			value = string(results[0].Rows[0][0])
		}
	}
	if !isOn(value) {
		return errNonconforming
	}
	return nil
}

// warn warns, once for each pool, of a connection that can be read or
// impersonated on its way.
func (c *connector) warn(nc net.Conn) {
	addr, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() {
		return
	}
	_, secure := nc.(*tls.Conn)
	c.warning.Check(c.hosts, secure && c.verified, "sslmode=verify-full, with sslrootcert if the CA is your own")
}
