package mysql_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
	"github.com/echobun/echobun/internal/hostile"
)

// What is written into one part of a URL, as a URL is written, stays there: it
// changes neither host nor TLS nor files nor what the server is told.
func TestHostileURLs(t *testing.T) {
	t.Parallel()
	const good = "mysql://me:pw@good.example:3307/shop?tls=true&wait_timeout=9"
	refused, payloads := 0, hostile.Payloads(t, hostile.Number(1000))
	for _, evil := range payloads {
		for part, s := range map[string]string{
			"user":     strings.Replace(good, "me", url.PathEscape(evil), 1),
			"password": strings.Replace(good, ":pw", ":"+url.QueryEscape(evil), 1),
			"database": strings.Replace(good, "shop", url.PathEscape(evil), 1),
			"value":    strings.Replace(good, "=9", "="+url.QueryEscape(evil), 1),
			"name":     good + "&" + url.QueryEscape(evil) + "=1",
		} {
			u, err := driver.ParseURL(s)
			if err != nil {
				refused++
				continue
			}
			require.Equal(t, "good.example", u.Host, "%s %q", part, evil)
			c, err := ours(t).Connector(u, driver.Options{})
			if err != nil {
				require.NotContains(t, err.Error(), "\x00")
				refused++
				continue
			}
			cfg := mysql.ConfigOf(c)
			cfg.Params["sql_mode"] = strings.ReplaceAll(cfg.Params["sql_mode"], "CONCAT(@@sql_mode, ',TRADITIONAL')", "") // Ours.
			require.Equal(t, "tcp good.example:3307", cfg.Net+" "+cfg.Addr, "%s %q", part, evil)
			require.Equal(t, "true", cfg.TLSConfig, "%s %q", part, evil)
			require.False(t, cfg.AllowAllFiles || cfg.MultiStatements || cfg.AllowCleartextPasswords || cfg.AllowFallbackToPlaintext, "%s %q", part, evil)
			for name, value := range cfg.Params {
				require.NotContains(t, strings.Trim(value, "'"), "'", name)
				require.NotContains(t, value, ";", name)
			}
		}
	}
	t.Logf("%d of %d refused, none taken over", refused, 5*len(payloads))
}
