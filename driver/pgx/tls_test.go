package pgx_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/dbtest"
)

// certificate makes a certificate that signs itself, and its key.
func certificate(t *testing.T, hosts ...string) (cert, key []byte) {
	t.Helper()
	return certificateUntil(t, time.Now().Add(time.Hour), hosts...)
}

func certificateUntil(t *testing.T, until time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	require.NoError(t, err)
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})
}

// secureServer starts a server with TLS and returns the file and the pool of
// its certificate.
func secureServer(t *testing.T, hosts ...string) (*dbtest.Server, string, *x509.CertPool) {
	t.Helper()
	return secureServerUntil(t, time.Now().Add(time.Hour), hosts...)
}

func secureServerUntil(t *testing.T, until time.Time, hosts ...string) (*dbtest.Server, string, *x509.CertPool) {
	t.Helper()
	s := dbtest.StartPostgres(t)
	cert, key := certificateUntil(t, until, hosts...)
	db := open(t, s.URL(), "")
	for name, content := range map[string][]byte{"server.crt": cert, "server.key": key} {
		// The server writes its files itself: only so they are its own.
		exec(t, db, fmt.Sprintf("COPY (SELECT '%s') TO PROGRAM 'umask 077 && base64 -d > %s'",
			base64.StdEncoding.EncodeToString(content), name))
	}
	exec(t, db, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		return open(t, s.URL(), "sslmode=require").PingContext(t.Context()) == nil
	}, waitFor, 10*tick)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, cert, 0o600))
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(cert))
	return s, file, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	other := otherAddress(t)
	s, ca, pool := secureServer(t, "127.0.0.1", other)
	otherCert, _ := certificate(t, "127.0.0.1")
	otherCA := filepath.Join(t.TempDir(), "other.pem")
	require.NoError(t, os.WriteFile(otherCA, otherCert, 0o600))
	localhost := strings.Replace(s.URL(), "127.0.0.1", "localhost", 1)
	r := &relay{upstream: s.Addr()}
	remote := s.URLVia(r.start(t, other))

	for _, c := range []struct {
		name, url string
		query     url.Values
		tls       *tls.Config
		fails     bool // To connect.
		plain     bool
		warns     bool
	}{
		{name: "disable", url: s.URL(), query: url.Values{"sslmode": {"disable"}}, plain: true},
		{name: "prefer", url: remote, warns: true},
		{name: "require", url: remote, query: url.Values{"sslmode": {"require"}}, warns: true},
		{name: "verify-ca", url: remote, query: url.Values{"sslmode": {"verify-ca"}, "sslrootcert": {ca}}},
		{name: "verify-full", url: remote, query: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}},
		{name: "verify-full, other CA", url: remote, query: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {otherCA}}, fails: true},
		{name: "verify-full, other name", url: localhost, query: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}, fails: true},
		{name: "own", url: remote, query: url.Values{"sslmode": {"disable"}}, tls: &tls.Config{RootCAs: pool}},
		{name: "own, name", url: localhost, tls: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}},
		{name: "own, other name", url: localhost, tls: &tls.Config{RootCAs: pool}, fails: true},
		{name: "own, other CA", url: s.URL(), tls: &tls.Config{RootCAs: x509.NewCertPool()}, fails: true},
		{name: "own, unverified", url: remote, tls: &tls.Config{InsecureSkipVerify: true}, warns: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			o := driver.Options{TLS: c.tls, Logger: slog.New(slog.NewTextHandler(&buf, nil))}
			co, err := connector(t, c.url, c.query.Encode(), o)
			require.NoError(t, err)
			db := openConnector(t, co)
			db.SetMaxOpenConns(1)
			if c.fails {
				err := db.PingContext(t.Context())
				require.Equal(t, driver.Unavailable, pgxDriver(t).Classify(err), err)
				require.ErrorContains(t, err, "certificate")
				return
			}
			var secure bool
			require.NoError(t, db.NewRaw("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(t.Context(), &secure))
			require.Equal(t, !c.plain, secure)
			require.Equal(t, c.warns, strings.Contains(buf.String(), "without verified TLS"), &buf)

			// A request to cancel goes the same way.
			pid := backend(t.Context(), t, db)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = db.ExecContext(ctx, "SELECT pg_sleep(10)")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, pid, backend(t.Context(), t, db))
		})
	}
}

// With a TLS configuration of one's own there is no way back to plain text.
func TestOwnTLSIsNotOptional(t *testing.T) {
	t.Parallel()
	s := dbtest.Postgres(t)
	c, err := connector(t, s.URL(), "sslmode=disable", driver.Options{TLS: &tls.Config{InsecureSkipVerify: true}})
	require.NoError(t, err)
	err = openConnector(t, c).PingContext(t.Context())
	require.ErrorContains(t, err, "server refused TLS connection")
}

// What leaves in the middle of a connection being made, with a panic or
// without, takes neither the process nor later connections with it, and leaves
// no socket open.
func TestTLSCallbacksThatLeave(t *testing.T) {
	t.Parallel()
	s, _, pool := secureServer(t, "127.0.0.1")
	for name, leave := range map[string]func(){"panic": func() { panic("a bug") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &relay{upstream: s.Addr()}
			var calls atomic.Int64
			co, err := connector(t, s.URLVia(r.start(t, "127.0.0.1")), "", driver.Options{TLS: &tls.Config{
				RootCAs: pool,
				VerifyConnection: func(tls.ConnectionState) error {
					if calls.Add(1) <= 3 {
						leave()
					}
					return nil
				},
			}})
			require.NoError(t, err)
			db := openConnector(t, co)
			for range 3 {
				require.Error(t, db.PingContext(t.Context()))
			}
			require.Eventually(t, func() bool { return r.gone.Load() == 3 }, waitFor, tick)
			require.NoError(t, db.PingContext(t.Context()))
		})
	}
}
