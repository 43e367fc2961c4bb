package mysql

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/echobun/echobun/driver"
)

const (
	defaultHost = "localhost"
	defaultPort = 3306
)

// settings is what a URL and its options amount to.
type settings struct {
	cfg            *gomysql.Config
	host           string        // Of the server; the path of the socket where there is one.
	connectTimeout time.Duration // Zero means no limit.
	lenient        bool          // The sql_mode need not be strict.
	options        []gomysql.Option
	given          map[string]bool // Names of the URL's parameters.
}

// newSettings reads u. Its errors name the parameter but quote no value, which
// could be a part of a password in a URL gone wrong.
func newSettings(u *driver.URL, o driver.Options) (*settings, error) {
	s := &settings{
		cfg:            gomysql.NewConfig(),
		connectTimeout: o.ConnectTimeout,
		given:          make(map[string]bool),
	}
	s.cfg.User, s.cfg.Passwd, s.cfg.DBName = u.User, u.Password(), u.Database
	s.cfg.ParseTime, s.cfg.ClientFoundRows = true, true
	s.cfg.Params = map[string]string{"autocommit": "1"}
	s.cfg.Logger = newLogger(o)
	s.setAddress(u)

	var errs []error
	all := u.Parameters()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := s.setParameter(name, all[name]); err != nil {
			errs = append(errs, fmt.Errorf("parameter %s: %w", printable(name), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.speak()
	s.setTimeZone()
	s.keepStrict()
	s.setTLS(o.TLS)
	return s, s.cfg.Apply(s.options...)
}

// setAddress fills in where the server is. Sockets are used only where the URL
// asks for one, unlike libmysqlclient, which takes localhost for a socket.
func (s *settings) setAddress(u *driver.URL) {
	s.host = strings.Trim(u.Host, "[]")
	if s.host == "" {
		s.host = defaultHost
	}
	port := u.Port
	if port == 0 {
		port = defaultPort
	}
	s.cfg.Net, s.cfg.Addr = "tcp", net.JoinHostPort(s.host, strconv.Itoa(port))
}

// setParameter applies one parameter of the URL.
func (s *settings) setParameter(name string, values []string) error {
	if len(values) != 1 {
		return errors.New("given more than once")
	}
	value := values[0]
	s.given[name] = true
	if set, ok := parameters[name]; ok {
		return set(s, value)
	}
	if why, ok := refused[name]; ok {
		return errors.New(why)
	}
	for known := range parameters {
		if strings.EqualFold(known, name) {
			return fmt.Errorf("it is written %s", known)
		}
	}
	return s.setVariable(name, value)
}

// setTimeZone makes the server's clock agree with how values are read.
func (s *settings) setTimeZone() {
	if s.cfg.Loc == time.UTC && !s.given["time_zone"] {
		s.cfg.Params["time_zone"] = "'+00:00'"
	}
}

// setTLS lets c replace what the URL says. A certificate is checked against
// the host, also where c leaves that out.
func (s *settings) setTLS(c *tls.Config) {
	if c == nil {
		return
	}
	s.cfg.TLS, s.cfg.TLSConfig, s.cfg.AllowFallbackToPlaintext = c.Clone(), "", false
	if s.cfg.TLS.ServerName == "" && s.cfg.Net == "unix" {
		s.cfg.TLS.ServerName = defaultHost
	}
}

// printable quotes a parameter's name if it looks like one.
func printable(name string) string {
	if _, known := refused[name]; !known && !variableName.MatchString(name) {
		return "with an odd name"
	}
	return strconv.Quote(name)
}
