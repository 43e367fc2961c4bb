package mysql_test

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/mysql"
)

// configOf returns what go-sql-driver gets for a URL.
func configOf(tb testing.TB, u *driver.URL, o driver.Options) *gomysql.Config {
	tb.Helper()
	c, err := ours(tb).Connector(u, o)
	require.NoError(tb, err)
	return mysql.ConfigOf(c)
}

func TestAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, network, addr string }{
		{"mysql://", "tcp", "localhost:3306"},
		{"mysql://db.example", "tcp", "db.example:3306"},
		{"mariadb://db.example:3307/x", "tcp", "db.example:3307"},
		{"mysql://[::1]:3307/x", "tcp", "[::1]:3307"},
		{"mysql://[fe80::1]/x", "tcp", "[fe80::1]:3306"},
		{"mysql://localhost/x?unix_socket=/run/my.sock", "unix", "/run/my.sock"},
		{"mysql+pymysql://u:p@h/x?charset=utf8mb4", "tcp", "h:3306"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			cfg := configOf(t, parse(t, tt.url), driver.Options{})
			require.Equal(t, tt.network, cfg.Net)
			require.Equal(t, tt.addr, cfg.Addr)
		})
	}
}

// Nothing that is in a name or a password can become a host or a parameter.
func TestNothingIsJoined(t *testing.T) {
	t.Parallel()
	const evil = "x@tcp(evil.example:1)/y?allowAllFiles=true&multiStatements=true&tls=skip-verify"
	cfg := configOf(t, withPassword(&driver.URL{Scheme: "mysql", Host: "h", User: evil, Database: evil}, evil), driver.Options{})
	require.Equal(t, evil, cfg.User)
	require.Equal(t, evil, cfg.Passwd)
	require.Equal(t, evil, cfg.DBName)
	require.Equal(t, "h:3306", cfg.Addr)
	require.False(t, cfg.AllowAllFiles || cfg.MultiStatements)
	require.Nil(t, cfg.TLS)
	require.Empty(t, cfg.TLSConfig)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg := configOf(t, parse(t, "mysql://h/db"), driver.Options{})
	require.True(t, cfg.ParseTime)
	require.True(t, cfg.ClientFoundRows)
	require.True(t, cfg.CheckConnLiveness)
	require.Equal(t, time.UTC, cfg.Loc)
	require.Zero(t, cfg.ReadTimeout)
	require.False(t, cfg.AllowAllFiles || cfg.MultiStatements || cfg.AllowCleartextPasswords || cfg.InterpolateParams)
	require.Equal(t, map[string]string{
		"autocommit": "1", "time_zone": "'+00:00'", "sql_mode": "CONCAT(@@sql_mode, ',TRADITIONAL')",
	}, cfg.Params)
}

func TestParameters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, value string
		get         func(*gomysql.Config) any
		want        any
	}{
		{"allowAllFiles", "true", func(c *gomysql.Config) any { return c.AllowAllFiles }, true},
		{"allowCleartextPasswords", "1", func(c *gomysql.Config) any { return c.AllowCleartextPasswords }, true},
		{"allowFallbackToPlaintext", "1", func(c *gomysql.Config) any { return c.AllowFallbackToPlaintext }, true},
		{"allowNativePasswords", "false", func(c *gomysql.Config) any { return c.AllowNativePasswords }, false},
		{"allowOldPasswords", "True", func(c *gomysql.Config) any { return c.AllowOldPasswords }, true},
		{"checkConnLiveness", "0", func(c *gomysql.Config) any { return c.CheckConnLiveness }, false},
		{"clientFoundRows", "false", func(c *gomysql.Config) any { return c.ClientFoundRows }, false},
		{"columnsWithAlias", "true", func(c *gomysql.Config) any { return c.ColumnsWithAlias }, true},
		{"interpolateParams", "true", func(c *gomysql.Config) any { return c.InterpolateParams }, true},
		{"multiStatements", "true", func(c *gomysql.Config) any { return c.MultiStatements }, true},
		{"parseTime", "false", func(c *gomysql.Config) any { return c.ParseTime }, false},
		{"rejectReadOnly", "true", func(c *gomysql.Config) any { return c.RejectReadOnly }, true},
		{"readTimeout", "3s", func(c *gomysql.Config) any { return c.ReadTimeout }, 3 * time.Second},
		{"writeTimeout", "500ms", func(c *gomysql.Config) any { return c.WriteTimeout }, 500 * time.Millisecond},
		{"read_timeout", "3", func(c *gomysql.Config) any { return c.ReadTimeout }, 3 * time.Second},
		{"write_timeout", "0.5", func(c *gomysql.Config) any { return c.WriteTimeout }, 500 * time.Millisecond},
		{"loc", "Asia/Tokyo", func(c *gomysql.Config) any { return c.Loc.String() }, "Asia/Tokyo"},
		{"maxAllowedPacket", "1024", func(c *gomysql.Config) any { return c.MaxAllowedPacket }, 1024},
		{"connectionAttributes", "a:b", func(c *gomysql.Config) any { return c.ConnectionAttributes }, "a:b"},
		{"tls", "1", func(c *gomysql.Config) any { return c.TLSConfig }, "true"},
		{"tls", "Skip-Verify", func(c *gomysql.Config) any { return c.TLSConfig }, "skip-verify"},
		{"tls", "preferred", func(c *gomysql.Config) any { return c.TLSConfig }, "preferred"},
		{"collation", "utf8mb4_bin", variable("collation_connection"), "'utf8mb4_bin'"},
		{"collation", "utf8_Unicode_ci", variable("collation_connection"), "'utf8mb4_unicode_ci'"},
		{"time_zone", "SYSTEM", variable("time_zone"), "'SYSTEM'"},
		{"time_zone", "'+02:00'", variable("time_zone"), "'+02:00'"},
		{"sql_mode", "ANSI_QUOTES,STRICT_ALL_TABLES", variable("sql_mode"), "'ANSI_QUOTES,STRICT_ALL_TABLES'"},
		{"sql_mode", "", variable("sql_mode"), "'STRICT_ALL_TABLES'"},
		{"sql_mode", "ansi", variable("sql_mode"), "'ANSI,STRICT_ALL_TABLES'"},
		{"sql_mode", "'traditional'", variable("sql_mode"), "'TRADITIONAL'"},
		{"sql_mode", "DEFAULT", variable("sql_mode"), "CONCAT(@@GLOBAL.sql_mode, ',TRADITIONAL')"},
		{"strict", "true", variable("sql_mode"), "CONCAT(@@sql_mode, ',TRADITIONAL')"},
		{"strict", "false", variable("sql_mode"), nil},
		{"wait_timeout", "28800", variable("wait_timeout"), "28800"},
		{"sql_notes", "false", variable("sql_notes"), "false"},
		{"foreign_key_checks", "TRUE", variable("foreign_key_checks"), "TRUE"},
		{"low_priority_updates", "off", variable("low_priority_updates"), "off"},
		{"sql_warnings", "'ON'", variable("sql_warnings"), "'ON'"},
		{"transaction_isolation", `"READ-COMMITTED"`, variable("transaction_isolation"), "'READ-COMMITTED'"},
		{"autocommit", "true", variable("autocommit"), "1"},
		{"use_unicode", "1", variable("use_unicode"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			cfg := configOf(t, parse(t, "mysql://h/db", tt.name, tt.value), driver.Options{})
			require.Equal(t, tt.want, tt.get(cfg))
		})
	}
}

func variable(name string) func(*gomysql.Config) any {
	return func(c *gomysql.Config) any {
		if v, ok := c.Params[name]; ok {
			return v
		}
		return nil
	}
}

func TestBadParameters(t *testing.T) {
	t.Parallel()
	const marker = "S3cr3tPw"
	tests := []struct{ name, value string }{
		{"parseTime", marker},
		{"parsetime", "true"},
		{"timeout", "5"},
		{"timeout", "-5s"},
		{"connect_timeout", "-1"},
		{"connect_timeout", "NaN"},
		{"readTimeout", marker},
		{"timeTruncate", marker},
		{"compress", marker},
		{"loc", marker},
		{"maxAllowedPacket", "-1"},
		{"maxAllowedPacket", marker},
		{"tls", marker},
		{"serverPubKey", marker},
		{"unix_socket", marker},
		{"charset", "utf8mb4; DROP TABLE x"},
		{"charset", "gbk"},
		{"charset", "none"},
		{"charset", "none,gbk"},
		{"charset", "latin1"},
		{"charset", "LATIN1,utf8mb4"},
		{"charset", "binary"},
		{"charset", "S3cr3tPw"},
		{"collation", "sjis_japanese_ci"},
		{"collation", "gb18030_bin"},
		{"collation", "x'y"},
		{"character_set_client", "gbk"},
		{"autocommit", "0"},
		{"autocommit", "'OFF'"},
		{"use_unicode", "0"},
		{"password", marker},
		{"ssl_ca", marker},
		{"init_command", marker},
		{"read_default_file", "/etc/my.cnf"},
		{"strict", marker},
		{"sql_mode", "4194304"},
		{"sql_mode", "'x', global.y = 'z'"},
		{"sql_mode", "(SELECT 1)"},
		{"tx_isolation", "'x', global.y = 'z'"},
		{"tx_isolation", "(SELECT 1)"},
		{"tx_isolation", `a\`},
		{"sql_mode", `a\`},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			u := parse(t, "mysql://u:"+marker+"@h/db", tt.name, tt.value)
			_, err := ours(t).Connector(u, driver.Options{})
			require.ErrorContains(t, err, tt.name)
			require.ErrorContains(t, err, "mysql: parameter")
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
				require.NotContains(t, text, marker)
			}
		})
	}
}

func TestBadNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "a=b,c", "x-y", "1a", "S3cr3tPw@h"} {
		_, err := ours(t).Connector(parse(t, "mysql://h/db", name, "1"), driver.Options{})
		require.ErrorContains(t, err, "name")
		require.NotContains(t, err.Error(), name)
	}
	u := parse(t, "mysql://h/db?parseTime=true&parseTime=false&charset=gbk")
	_, err := ours(t).Connector(u, driver.Options{})
	require.ErrorContains(t, err, `"parseTime": given more than once`)
	require.ErrorContains(t, err, `"charset"`, "all mistakes at once")
	u = parse(t, "mysql://h/db?charset=utf8mb4&collation=latin1_swedish_ci")
	_, err = ours(t).Connector(u, driver.Options{})
	require.ErrorContains(t, err, "does not belong")
	u = parse(t, "mysql://h/db", "ssl-mode", "REQUIRED")
	_, err = ours(t).Connector(u, driver.Options{})
	require.ErrorContains(t, err, `parameter "ssl-mode": use tls=true`)
}

func TestTLSOption(t *testing.T) {
	t.Parallel()
	given := &tls.Config{MinVersion: tls.VersionTLS13}
	cfg := configOf(t, parse(t, "mysql://db.example/x?tls=skip-verify"), driver.Options{TLS: given})
	require.EqualValues(t, tls.VersionTLS13, cfg.TLS.MinVersion)
	require.False(t, cfg.TLS.InsecureSkipVerify)
	require.NotSame(t, given, cfg.TLS)
	cfg = configOf(t, parse(t, "mysql://h/x?tls=preferred"), driver.Options{TLS: given})
	require.False(t, cfg.AllowFallbackToPlaintext)
	require.Empty(t, given.ServerName, "the caller's is left alone")
}

// What the parameters say is what the session has.
func TestSession(t *testing.T) {
	t.Parallel()
	db := fresh(t, "collation", "utf8mb4_bin", "sql_mode", "ANSI_QUOTES,STRICT_ALL_TABLES",
		"time_zone", "'+02:00'", "tx_isolation", "READ-COMMITTED", "wait_timeout", "1234", "compress", "true")
	tests := []struct{ variable, want string }{
		{"collation_connection", "utf8mb4_bin"},
		{"character_set_client", "utf8mb4"},
		{"sql_mode", "ANSI_QUOTES,STRICT_ALL_TABLES"},
		{"time_zone", "+02:00"},
		{"tx_isolation", "READ-COMMITTED"},
		{"wait_timeout", "1234"},
		{"autocommit", "ON"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, value[string](t, db, "SELECT CAST(@@SESSION."+tt.variable+" AS char)"))
	}
}

// An UPDATE counts the rows that it found, as on other databases.
func TestFoundRows(t *testing.T) {
	t.Parallel()
	db := fresh(t)
	run(t, db, createItems, "INSERT INTO items (name) VALUES ('a')")
	res, err := db.ExecContext(t.Context(), "UPDATE items SET name = 'a'")
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}
