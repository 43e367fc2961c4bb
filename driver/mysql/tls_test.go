package mysql_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// startTLS starts a server with a certificate for 127.0.0.1.
func startTLS(tb testing.TB) (*dbtest.Server, *x509.CertPool) {
	tb.Helper()
	return startTLSUntil(tb, time.Now().Add(time.Hour))
}

func startTLSUntil(tb testing.TB, until time.Time) (*dbtest.Server, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)

	// The server may run as another user than the test.
	dir, err := os.MkdirTemp("", "echobun-tls-") //nolint:usetesting // TempDir's parent is closed to other users.
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(tb, os.Chmod(dir, 0o755))
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(tb, os.WriteFile(certFile, cert, 0o644))
	require.NoError(tb, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o644))

	pool := x509.NewCertPool()
	require.True(tb, pool.AppendCertsFromPEM(cert))
	return dbtest.StartMariaDB(tb, "--ssl-cert="+certFile, "--ssl-key="+keyFile), pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server, pool := startTLS(t)
	require.NoError(t, gomysql.RegisterTLSConfig("echobun-test", &tls.Config{RootCAs: pool}))
	tests := []struct {
		name, mode string
		config     *tls.Config
		failure    string
		encrypted  bool
		via        string
	}{
		{name: "none"},
		{name: "false", mode: "false"},
		{name: "unverified", mode: "skip-verify", encrypted: true},
		{name: "preferred", mode: "preferred", encrypted: true},
		{name: "unknown authority", mode: "true", failure: "x509"},
		{name: "registered", mode: "echobun-test", encrypted: true},
		{name: "option", config: &tls.Config{RootCAs: pool}, encrypted: true},
		{name: "option over URL", mode: "skip-verify", config: &tls.Config{RootCAs: x509.NewCertPool()}, failure: "x509"},
		{name: "wrong host", config: &tls.Config{RootCAs: pool, ServerName: "db.example"}, failure: "db.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := parse(t, server.URL())
			if tt.mode != "" {
				u.Query.Set("tls", tt.mode)
			}
			db := open(t, u, driver.Options{TLS: tt.config, ConnectTimeout: 5 * time.Second})
			err := db.PingContext(t.Context())
			if tt.failure != "" {
				require.ErrorContains(t, err, tt.failure)
				return
			}
			require.NoError(t, err)
			var name, cipher string
			require.NoError(t, db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher))
			require.Equal(t, tt.encrypted, cipher != "")
		})
	}
}

// A server without TLS turns tls=preferred off for its own connections only.
func TestTLSPreferredLater(t *testing.T) {
	t.Parallel()
	server, _ := startTLS(t)
	plain := dbtest.StartMariaDB(t)
	run(t, open(t, parse(t, plain.URL()), driver.Options{}),
		"ALTER USER '"+server.User+"'@'%' IDENTIFIED BY '"+server.Password+"'")
	balancer, to := balance(t, plain.Addr())

	db := open(t, parse(t, server.URLVia(balancer), "tls", "preferred"), driver.Options{})
	for _, s := range []*dbtest.Server{plain, server} {
		to(s.Addr())
		c := pinned(t, db)
		var name, cipher string
		require.NoError(t, c.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher))
		require.Equal(t, s == server, cipher != "")
	}
}

// A connection that others could read is warned about once, and not before
// there is one.
func TestInsecureWarning(t *testing.T) {
	t.Parallel()
	address := outward(t)
	server, _ := startTLS(t)
	balancer := listenOn(t, address+":0", func(c net.Conn) { forward(c, server.Addr()) })
	tests := []struct {
		name, addr, mode string
		warned           int
	}{
		{"plain", balancer, "false", 1},
		{"unverified", balancer, "skip-verify", 1},
		{"preferred", balancer, "preferred", 1},
		{"verified", balancer, "echobun-outward", 0},
		{"loopback", server.Addr(), "false", 0},
	}
	require.NoError(t, gomysql.RegisterTLSConfig("echobun-outward", &tls.Config{
		InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil },
	}))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log, logger := newLog()
			db := open(t, parse(t, server.URLVia(tt.addr), "tls", tt.mode), driver.Options{Bind: "auth", Logger: logger})
			require.NotContains(t, log.String(), "level=WARN")
			for range 3 {
				pinned(t, db)
			}
			require.Equal(t, tt.warned, strings.Count(log.String(), "level=WARN"), log.String())
			require.NotContains(t, log.String(), server.Password)
		})
	}
}

// outward returns an address of this machine that is not a loopback one.
func outward(tb testing.TB) string {
	tb.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(tb, err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			return ip.IP.String()
		}
	}
	dbtest.Skip(tb, "needs a network address that is not a loopback one")
	return ""
}

// What leaves in the middle of a connection being made, with a panic or
// without, leaves no socket open.
func TestTLSCallbacksThatLeave(t *testing.T) {
	t.Parallel()
	server, pool := startTLS(t)
	for name, leave := range map[string]func(){"panic": func() { panic("a bug") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{RootCAs: pool, VerifyConnection: func(tls.ConnectionState) error { leave(); return nil }}
			co, err := ours(t).Connector(parse(t, server.URL()), driver.Options{TLS: config})
			require.NoError(t, err)
			left := make(chan struct{})
			go func() {
				defer close(left)
				defer func() { _ = recover() }()
				_, _ = co.Connect(t.Context())
			}()
			<-left
			db := open(t, parse(t, server.URL()), driver.Options{})
			require.Eventually(t, func() bool {
				var n int
				err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'unauthenticated user'").Scan(&n)
				return err == nil && n == 0
			}, 3*time.Second, 20*time.Millisecond, "the server would wait for 10 s")
		})
	}
}
