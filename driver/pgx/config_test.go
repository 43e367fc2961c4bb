package pgx_test

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jackc "github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/driver/pgx"
)

// clearEnv takes everything out of the environment that pgx reads.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
}

func parse(t *testing.T, s string) *driver.URL {
	t.Helper()
	u, err := driver.ParseURL(s)
	require.NoError(t, err)
	return u
}

func addresses(cfg *jackc.ConnConfig) []string {
	all := []string{fmt.Sprintf("%s %d", cfg.Host, cfg.Port)}
	for _, f := range cfg.Fallbacks {
		all = append(all, fmt.Sprintf("%s %d", f.Host, f.Port))
	}
	return slices.Compact(all)
}

func TestConfigDefaults(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	cfg, err := pgx.NewConfig(parse(t, "postgresql://me:pw@db/shop"), driver.Options{ConnectTimeout: 3 * time.Second})
	require.NoError(t, err)
	require.Equal(t, jackc.QueryExecModeExec, cfg.DefaultQueryExecMode)
	require.Equal(t, 3*time.Second, cfg.ConnectTimeout)
	require.Equal(t, map[string]string{"client_encoding": "UTF8"}, cfg.RuntimeParams, "PgBouncer refuses most others")
	require.Equal(t, "me", cfg.User)
	require.Equal(t, "pw", cfg.Password)
	require.Equal(t, "shop", cfg.Database)
	require.Equal(t, []string{"db 5432"}, addresses(cfg))

	cfg, err = pgx.NewConfig(parse(t, "postgresql://me:pw@db/shop?default_query_exec_mode=cache_statement&connect_timeout=7"+
		"&application_name=till&search_path=a,b&user=you&password=pw2&dbname=inn&statement_cache_capacity=9"),
		driver.Options{ConnectTimeout: 3 * time.Second})
	require.NoError(t, err)
	require.Equal(t, jackc.QueryExecModeCacheStatement, cfg.DefaultQueryExecMode)
	require.Equal(t, 9, cfg.StatementCacheCapacity)
	require.Equal(t, 7*time.Second, cfg.ConnectTimeout)
	require.Equal(t, map[string]string{"application_name": "till", "client_encoding": "UTF8", "search_path": "a,b"}, cfg.RuntimeParams)
	require.Equal(t, []string{"you", "pw2", "inn"}, []string{cfg.User, cfg.Password, cfg.Database})
}

func TestConfigHosts(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	for _, c := range []struct { //nolint:paralleltest // As above.
		name, url string
		want      []string
		err       string
	}{
		{name: "one", url: "postgresql://db:6000/x", want: []string{"db 6000"}},
		{name: "ipv6", url: "postgresql://[::1]:6000/x", want: []string{"::1 6000"}},
		{name: "socket", url: "postgresql:///x?host=/run/pg&port=6000", want: []string{"/run/pg 6000"}},
		{name: "socket and port before it", url: "postgresql://u@:6000/x?host=/run/pg", want: []string{"/run/pg 6000"}},
		{name: "parameter over host", url: "postgresql://other:6000/x?host=a", want: []string{"a 6000"}},
		{name: "list", url: "postgresql:///x?host=a,b&port=1,2", want: []string{"a 1", "b 2"}},
		{name: "list, one port", url: "postgresql:///x?host=a,b&port=7", want: []string{"a 7", "b 7"}},
		{name: "list, no port", url: "postgresql:///x?host=a,b", want: []string{"a 5432", "b 5432"}},
		{name: "repeated", url: "postgresql:///x?host=a:1&host=b:2", want: []string{"a 1", "b 2"}},
		{name: "repeated, port for the rest", url: "postgresql:///x?host=a:1&host=b&port=9", want: []string{"a 1", "b 9"}},
		{name: "repeated, ports for the rest", url: "postgresql:///x?host=a:1&host=b&port=8,9", want: []string{"a 1", "b 9"}},
		{name: "ipv6 in a list", url: "postgresql:///x?host=[::1]:3,fe80::1,[::2]&port=4", want: []string{"::1 3", "fe80::1 4", "::2 4"}},
		{name: "all kinds", url: "postgresql:///x?host=/run/pg,b:2", want: []string{"/run/pg 5432", "b 2"}},
		{name: "too many ports", url: "postgresql:///x?host=a:1,b&port=1,2,3", err: "3 ports for 2 hosts"},
		{name: "too many ports for the parser", url: "postgresql:///x?host=a,b&port=1,2,3", err: "3 port numbers to 2 hosts"},
		{name: "port", url: "postgresql:///x?host=a:b", err: "invalid port"},
		{name: "brackets", url: "postgresql:///x?host=[::1", err: "write an IPv6 address as"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := pgx.NewConfig(parse(t, c.url), driver.Options{})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, addresses(cfg))
		})
	}
	_, err := pgx.NewConfig(&driver.URL{Host: "a,evil.example"}, driver.Options{})
	require.ErrorContains(t, err, "comma in the host")
}

// What stands in one part of a URL never becomes another.
func TestConfigIsNotTakenOver(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	for _, evil := range []string{
		"app host=evil.example", "app' host='evil.example", `app\' host=evil.example`, `\`, `'`, `\'`, `app\`,
		"app?host=evil.example&sslmode=disable", "postgres://evil.example/app", "app\thost=evil.example",
		"app options='-c standard_conforming_strings=off'", "a b", " ", "=", "a=b",
	} {
		u := &driver.URL{
			Host: "good.example", User: evil, Database: evil,
			Query: url.Values{"application_name": {evil}, "sslmode": {"verify-full"}},
		}
		u.SetPassword(evil)
		cfg, err := pgx.NewConfig(u, driver.Options{})
		require.NoError(t, err, evil)
		require.Equal(t, []string{"good.example 5432"}, addresses(cfg))
		require.Equal(t, []string{evil, evil, evil}, []string{cfg.User, cfg.Password, cfg.Database})
		require.Equal(t, map[string]string{"application_name": evil, "client_encoding": "UTF8"}, cfg.RuntimeParams)
		require.NotNil(t, cfg.TLSConfig)
		require.False(t, cfg.TLSConfig.InsecureSkipVerify)
	}
	for _, key := range []string{"a b", "a=b", "a'", "", "host host"} {
		_, err := pgx.NewConfig(&driver.URL{Host: "h", Query: url.Values{key: {"x"}}}, driver.Options{})
		require.ErrorContains(t, err, "no name of a parameter", key)
	}
	_, err := pgx.NewConfig(&driver.URL{Host: "h", Query: url.Values{"dbname": {"a"}, "database": {"b"}}}, driver.Options{})
	require.ErrorContains(t, err, "dbname and database")
}

func FuzzConfig(f *testing.F) {
	f.Add("me", "pw", "db", "host", "value")
	f.Add("a'b", `c\d`, "e f", "g,h", "i=j")
	f.Add("", "", "", "", "")
	f.Fuzz(func(t *testing.T, user, password, database, host, value string) {
		u := &driver.URL{
			User: user, Database: database, Host: host,
			Query: url.Values{"application_name": {value}},
		}
		u.SetPassword(password)
		cfg, err := pgx.NewConfig(u, driver.Options{})
		if err != nil {
			return
		}
		if user != "" {
			require.Equal(t, user, cfg.User)
		}
		if password != "" {
			require.Equal(t, password, cfg.Password)
		}
		if database != "" {
			require.Equal(t, database, cfg.Database)
		}
		if host != "" && strings.Trim(host, "[]") != "" {
			require.Equal(t, strings.Trim(host, "[]"), cfg.Host)
		}
		require.Equal(t, value, cfg.RuntimeParams["application_name"])
	})
}

func TestEnvironmentFillsIn(t *testing.T) {
	clearEnv(t)
	home := t.TempDir()
	service := filepath.Join(home, "services")
	require.NoError(t, os.WriteFile(service, []byte("[s]\ndbname=fromservice\nuser=fromservice\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:frompassfile\n"), 0o600))
	t.Setenv("HOME", home)
	t.Setenv("PGSERVICEFILE", service)
	t.Setenv("PGSERVICE", "s")
	t.Setenv("PGHOST", "fromenv")
	t.Setenv("PGPORT", "6543")
	t.Setenv("PGAPPNAME", "fromenv")
	t.Setenv("PGCONNECT_TIMEOUT", "9")
	t.Setenv("PGSSLMODE", "verify-full")

	cfg, err := pgx.NewConfig(parse(t, "postgresql://"), driver.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"fromenv 6543"}, addresses(cfg))
	require.Equal(t, []string{"fromservice", "frompassfile", "fromservice"}, []string{cfg.User, cfg.Password, cfg.Database})
	require.Equal(t, 9*time.Second, cfg.ConnectTimeout)
	require.Equal(t, "fromenv", cfg.RuntimeParams["application_name"])
	require.NotNil(t, cfg.TLSConfig)

	cfg, err = pgx.NewConfig(parse(t, "postgresql://u:p@h:1/d?application_name=a&sslmode=disable"),
		driver.Options{ConnectTimeout: time.Second})
	require.NoError(t, err)
	require.Equal(t, []string{"h 1"}, addresses(cfg))
	require.Equal(t, []string{"u", "p", "d"}, []string{cfg.User, cfg.Password, cfg.Database})
	require.Equal(t, time.Second, cfg.ConnectTimeout)
	require.Equal(t, "a", cfg.RuntimeParams["application_name"])
	require.Nil(t, cfg.TLSConfig)

	t.Setenv("PGOPTIONS", "-c standard_conforming_strings=off")
	_, err = pgx.NewConfig(parse(t, "postgresql://h/d"), driver.Options{})
	require.ErrorContains(t, err, "injectable")
}

func TestConfigTLS(t *testing.T) {
	clearEnv(t)
	t.Setenv("PGSSLROOTCERT", "/no/such/file")
	own := &tls.Config{MinVersion: tls.VersionTLS13}
	cfg, err := pgx.NewConfig(parse(t, "postgresql:///d?host=a,b,/run/pg&sslmode=disable&sslcert=/none&sslkey=/none"),
		driver.Options{TLS: own})
	require.NoError(t, err)
	require.Equal(t, []string{"a 5432", "b 5432", "/run/pg 5432"}, addresses(cfg))
	require.Len(t, cfg.Fallbacks, 2, "no attempt without TLS")
	require.Equal(t, "a", cfg.TLSConfig.ServerName)
	require.Equal(t, uint16(tls.VersionTLS13), cfg.TLSConfig.MinVersion)
	require.Equal(t, "b", cfg.Fallbacks[0].TLSConfig.ServerName)
	require.Nil(t, cfg.Fallbacks[1].TLSConfig)
	require.Empty(t, own.ServerName, "the caller's is not modified")

	cfg, err = pgx.NewConfig(parse(t, "postgresql://a/d?sslmode=prefer&sslnegotiation=direct"),
		driver.Options{TLS: &tls.Config{ServerName: "other", MinVersion: tls.VersionTLS13}})
	require.NoError(t, err)
	require.Empty(t, cfg.Fallbacks)
	require.Equal(t, "other", cfg.TLSConfig.ServerName)
	require.Equal(t, []string{"postgresql"}, cfg.TLSConfig.NextProtos)
}

const marker = "S3cr3tPw"

// No part of a bad URL that may be a password comes out in an error.
func TestBadURLs(t *testing.T) { //nolint:paralleltest // It sets the environment.
	clearEnv(t)
	for _, s := range []string{
		"postgresql://app:" + marker + "@127.0.0.1:1/app?sslmode=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?sslmode=verify-full&sslrootcert=/no/such/file",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?sslcert=/no/such/file&sslkey=/no/such/file",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?sslcert=/no/such/file",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?connect_timeout=soon",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?connect_timeout=-1",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?target_session_attrs=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?default_query_exec_mode=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?statement_cache_capacity=many",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?service=none",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?channel_binding=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?require_auth=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?min_protocol_version=9",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?sslcertmode=bogus",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?port=none",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?host=a,b&port=1,2,3",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?bad%20key=1",
		"postgresql://app:" + marker + "@127.0.0.1:1/app?standard_conforming_strings=off",
		"postgresql://app@127.0.0.1:1/app?sslmode=bogus&password=" + marker,
		"postgresql://app@127.0.0.1:1/app?sslmode=bogus&sslpassword=" + marker,
		"postgresql://app:'" + marker + "'%20x=@127.0.0.1:1/app?sslmode=bogus",
		"postgresql://app:a'%20" + marker + "@127.0.0.1:1/app?sslmode=bogus",
		"postgresql://app:" + marker + "%27%40x@127.0.0.1:1/app?sslmode=bogus",
		"postgresql://app:" + marker + `\@127.0.0.1:1/app?sslmode=bogus`,
	} {
		_, err := pgxDriver(t).Connector(parse(t, s), driver.Options{})
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), marker)
		require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), marker)
		require.True(t, strings.HasPrefix(err.Error(), "pgx: "), err)
	}
	_, err := pgxDriver(t).Connector(parse(t, "postgresql://h/d?sslcert=/no/such/file&sslkey=/no/such/key"), driver.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "/no/such/key")
	_, err = pgxDriver(t).Connector(withPassword(&driver.URL{}, "a\x00b"), driver.Options{})
	require.ErrorContains(t, err, "NUL")
	_, err = pgxDriver(t).Connector(withPassword(&driver.URL{Database: "a\x00b"}, marker), driver.Options{})
	require.ErrorContains(t, err, "NUL")
}
