package pgx_test

import (
	"crypto/tls"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
	"github.com/echobun/echobun/internal/hostile"
)

// What is written into one part of a URL, as a URL is written, stays there: it
// changes neither host nor TLS nor files nor what the server is told.
func TestHostileURLs(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	const good = "postgresql://me:pw@good.example:5433/shop?sslmode=verify-full&application_name=till"
	refused, payloads := 0, hostile.Payloads(t, hostile.Number(1000))
	for _, evil := range payloads {
		for part, s := range map[string]string{
			"user":     strings.Replace(good, "me", url.PathEscape(evil), 1),
			"password": strings.Replace(good, ":pw", ":"+url.QueryEscape(evil), 1),
			"database": strings.Replace(good, "shop", url.PathEscape(evil), 1),
			"value":    strings.Replace(good, "till", url.QueryEscape(evil), 1),
		} {
			u, err := driver.ParseURL(s)
			if err != nil {
				refused++
				continue
			}
			require.Equal(t, "good.example", u.Host, "%s %q", part, evil)
			cfg, err := pgx.NewConfig(u, driver.Options{})
			if err != nil {
				require.NotContains(t, err.Error(), "\x00")
				refused++
				continue
			}
			require.Equal(t, []string{"good.example 5433"}, addresses(cfg), "%s %q", part, evil)
			require.NotNil(t, cfg.TLSConfig, "%s %q", part, evil)
			require.False(t, cfg.TLSConfig.InsecureSkipVerify)
			require.Equal(t, "good.example", cfg.TLSConfig.ServerName)
			require.Nil(t, cfg.TLSConfig.RootCAs)
			require.Empty(t, cfg.TLSConfig.Certificates)
			delete(cfg.RuntimeParams, "application_name")
			require.Equal(t, map[string]string{"client_encoding": "UTF8"}, cfg.RuntimeParams, "%s %q", part, evil)
		}
		requireHostKept(t, evil)
	}
	t.Logf("%d of %d refused, none taken over", refused, 4*len(payloads))
}

// requireHostKept uses a payload as the host, and as the name of a parameter.
// It may be refused, but does not turn into something else; and TLS that the
// options ask for stays.
func requireHostKept(t *testing.T, evil string) {
	t.Helper()
	u := &driver.URL{Host: evil, User: "me", Database: "shop", Query: url.Values{}}
	host := strings.Trim(evil, "[]")
	if cfg, err := pgx.NewConfig(u, driver.Options{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}); err == nil && host != "" {
		require.Equal(t, host, cfg.Host, "%q", evil)
		require.Empty(t, cfg.Fallbacks, "%q", evil)
		require.True(t, cfg.TLSConfig != nil || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@"), "%q is no socket and has no TLS", evil)
	}
	u = &driver.URL{Host: "good.example", User: "me", Query: url.Values{evil: {"x"}, "sslmode": {"verify-full"}}}
	if cfg, err := pgx.NewConfig(u, driver.Options{}); err == nil && !strings.EqualFold(evil, "host") {
		require.Equal(t, "good.example", cfg.Host, "%q", evil)
		require.False(t, cfg.TLSConfig.InsecureSkipVerify, "%q", evil)
	}
}
