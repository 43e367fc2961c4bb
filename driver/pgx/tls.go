package pgx

import (
	"crypto/tls"
	"strings"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// setTLS makes t the TLS configuration of every host. There is no attempt
// without TLS left; Unix sockets have none, as in libpq.
func setTLS(cfg *jackc.ConnConfig, t *tls.Config) {
	addresses := addressesOf(cfg)
	for _, a := range addresses {
		a.TLSConfig = hostTLS(t, a.Host, cfg.SSLNegotiation)
	}
	cfg.TLSConfig, cfg.Fallbacks = addresses[0].TLSConfig, addresses[1:]
}

// hostTLS returns t as it is for one host.
func hostTLS(t *tls.Config, host, negotiation string) *tls.Config {
	if isSocket(host) {
		return nil
	}
	t = t.Clone()
	if t.ServerName == "" {
		t.ServerName = host
	}
	if negotiation == "direct" && len(t.NextProtos) == 0 {
		t.NextProtos = []string{"postgresql"}
	}
	return t
}

func isSocket(host string) bool {
	network, _ := pgconn.NetworkAddress(host, 0)
	return network == "unix"
}

// fullyVerified reports whether every host is only spoken to over TLS and
// after a check of its certificate and name.
func fullyVerified(cfg *jackc.ConnConfig) bool {
	all := append([]*pgconn.FallbackConfig{{Host: cfg.Host, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...)
	for _, a := range all {
		if !isSocket(a.Host) && (a.TLSConfig == nil || a.TLSConfig.InsecureSkipVerify) {
			return false
		}
	}
	return true
}

// verifies reports whether t checks the server's certificate, be it in a
// callback, as sslmode=verify-ca does.
func verifies(t *tls.Config) bool {
	return t != nil && (!t.InsecureSkipVerify || t.VerifyPeerCertificate != nil || t.VerifyConnection != nil)
}

// describeHosts names the hosts of a configuration in one line.
func describeHosts(cfg *jackc.ConnConfig) string {
	return strings.Join(hostsOf(cfg), ",")
}
