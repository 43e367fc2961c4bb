// Package urlhints knows parameters of other drivers' URLs that have one meaning
// on every database, and what to write in their place.
package urlhints

import "maps"

// What to write in place of parameters, whatever the driver.
const (
	BeforeAt   = "it belongs before the @ of the URL"
	BehindPath = "it belongs behind the / of the URL"
	Nothing    = "leave it out: it has no meaning here"
	Pool       = "use EngineOptions: MaxOpenConns, MaxIdleConns, ConnMaxLifetime and PoolTimeout"
	Version    = "leave it out: the server says which version it is"
)

// shared are the names for which the hint is the same.
var shared = map[string]string{
	"username": BeforeAt,

	// Prisma, Doctrine, Rails and Node.
	"connection_limit": Pool,
	"pool":             Pool,
	"pool_size":        Pool,
	"pool_recycle":     Pool,
	"pool_timeout":     Pool,
	"serverVersion":    Version,
	"server_version":   Version,
}

var (
	// tlsModes are the names of how much of TLS there is to be.
	tlsModes = []string{"ssl-mode", "ssl_mode", "sslMode", "sslaccept", "useSSL", "use_ssl", "requireSSL"}

	// certificates are the names of files of TLS.
	certificates = []string{"ssl_ca", "ssl_cert", "ssl_key", "ssl-ca", "ssl-cert", "ssl-key", "sslca", "sslidentity"}
)

// With returns the hints of a driver's own and the shared ones, given what to
// write for a mode of TLS and for a certificate.
func With(mode, certificate string, own map[string]string) map[string]string {
	all := maps.Clone(shared)
	for _, name := range tlsModes {
		all[name] = mode
	}
	for _, name := range certificates {
		all[name] = certificate
	}
	maps.Copy(all, own)
	return all
}
