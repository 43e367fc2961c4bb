package driver_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/echobun/echobun/driver"
)

func TestParseURL(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name string
		in   string
		want parts
		text string // What it prints as.
	}{
		{
			"all parts", "postgresql+psycopg2://scott:tiger@db.example.org:5433/app?sslmode=require&a=1&a=2",
			parts{
				Scheme: "postgresql", Driver: "psycopg2", User: "scott", Password: "tiger", Host: "db.example.org",
				Port: 5433, Database: "app", Query: url.Values{"sslmode": {"require"}, "a": {"1", "2"}},
			},
			"postgresql+psycopg2://scott:***@db.example.org:5433/app?a=1&a=2&sslmode=require",
		},
		{"alias postgres", "postgres://h/db", parts{Scheme: "postgresql", Host: "h", Database: "db"}, "postgresql://h/db"},
		{
			"alias mariadb", "mariadb+pymysql://h/db",
			parts{Scheme: "mysql", Driver: "pymysql", Host: "h", Database: "db"},
			"mysql+pymysql://h/db",
		},
		{"unknown scheme kept", "Post_gres9://h", parts{Scheme: "Post_gres9", Host: "h"}, "Post_gres9://h"},

		{
			"escaped password", "mysql://u%40x:p%40s%2Fs%3a+%C3%A9@h/d",
			parts{Scheme: "mysql", User: "u@x", Password: "p@s/s:+é", Host: "h", Database: "d"},
			"mysql://u%40x:***@h/d",
		},
		{
			"bare percent", "mysql://u:p%ss%@h/d%zz%4",
			parts{Scheme: "mysql", User: "u", Password: "p%ss%", Host: "h", Database: "d%zz%4"},
			"mysql://u:***@h/d%25zz%254",
		},
		{
			"odd password", "postgresql://u:p/s?s#: s@h/db",
			parts{Scheme: "postgresql", User: "u", Password: "p/s?s#: s", Host: "h", Database: "db"},
			"postgresql://u:***@h/db",
		},
		{
			"password of digits", "postgresql://u:1234@h/db",
			parts{Scheme: "postgresql", User: "u", Password: "1234", Host: "h", Database: "db"},
			"postgresql://u:***@h/db",
		},
		{"empty password", "mysql://u:@h/d", parts{Scheme: "mysql", User: "u", Host: "h", Database: "d"}, "mysql://u@h/d"},
		{"no user", "mysql://:pw@h/d", parts{Scheme: "mysql", Password: "pw", Host: "h", Database: "d"}, "mysql://:***@h/d"},
		{
			"user is an address", "postgresql://me@corp:pw@h/d",
			parts{Scheme: "postgresql", User: "me@corp", Password: "pw", Host: "h", Database: "d"},
			"postgresql://me%40corp:***@h/d",
		},
		{
			"user is an address, no password", "postgresql://me@corp@h:5432/d",
			parts{Scheme: "postgresql", User: "me@corp", Host: "h", Port: 5432, Database: "d"},
			"postgresql://me%40corp@h:5432/d",
		},

		{"IPv6", "postgresql://[::1]/d", parts{Scheme: "postgresql", Host: "::1", Database: "d"}, "postgresql://[::1]/d"},
		{
			"IPv6 with zone and port", "postgresql://u:p@[fe80::1%eth0]:5432",
			parts{Scheme: "postgresql", User: "u", Password: "p", Host: "fe80::1%eth0", Port: 5432},
			"postgresql://u:***@[fe80::1%eth0]:5432",
		},
		{
			"PostgreSQL socket", "postgresql://u:p@/d?host=/var/run/postgresql",
			parts{
				Scheme: "postgresql", User: "u", Password: "p", Database: "d",
				Query: url.Values{"host": {"/var/run/postgresql"}},
			},
			"postgresql://u:***@/d?host=/var/run/postgresql",
		},
		{
			"abstract socket, no database", "postgresql://u:p@?host=@pg",
			parts{Scheme: "postgresql", User: "u", Password: "p", Query: url.Values{"host": {"@pg"}}},
			"postgresql://u:***@?host=%40pg",
		},
		{
			"MySQL socket", "mysql:///d?unix_socket=/tmp/my%20sql.sock",
			parts{Scheme: "mysql", Database: "d", Query: url.Values{"unix_socket": {"/tmp/my sql.sock"}}},
			"mysql:///d?unix_socket=/tmp/my%20sql.sock",
		},
		{
			"several hosts in the query", "postgresql:///d?host=h1,h2&port=1,2",
			parts{Scheme: "postgresql", Database: "d", Query: url.Values{"host": {"h1,h2"}, "port": {"1,2"}}},
			"postgresql:///d?host=h1,h2&port=1,2",
		},

		{
			"database with fragment and escapes", "postgresql://h/d%40%62 c#frag/x",
			parts{Scheme: "postgresql", Host: "h", Database: "d@b c#frag/x"},
			"postgresql://h/d%40b%20c#frag/x",
		},
		{
			"parameters", "mysql://h?a=b+c%2B&empty=&&s=x;y=z",
			parts{Scheme: "mysql", Host: "h", Query: url.Values{"a": {"b c+"}, "s": {"x;y=z"}}},
			"mysql://h?a=b%20c%2B&s=x%3By%3Dz",
		},
		{
			"at in a parameter", "postgresql://u:p@h/d?application_name=me@host",
			parts{
				Scheme: "postgresql", User: "u", Password: "p", Host: "h", Database: "d",
				Query: url.Values{"application_name": {"me@host"}},
			},
			"postgresql://u:***@h/d?application_name=me%40host",
		},

		{"SQLite memory", "sqlite://", parts{Scheme: "sqlite"}, "sqlite://"},
		{"SQLite memory, slash", "sqlite:///", parts{Scheme: "sqlite"}, "sqlite://"},
		{"SQLite memory, named", "sqlite:///:memory:", parts{Scheme: "sqlite", Database: ":memory:"}, "sqlite:///:memory:"},
		{"SQLite relative", "sqlite:///a@b.db", parts{Scheme: "sqlite", Database: "a@b.db"}, "sqlite:///a%40b.db"},
		{"SQLite absolute", "sqlite:////srv/a:b@c.db", parts{Scheme: "sqlite", Database: "/srv/a:b@c.db"}, "sqlite:////srv/a:b%40c.db"},
		{"SQLite Windows", `sqlite:///C:\d\x.db`, parts{Scheme: "sqlite", Database: `C:\d\x.db`}, `sqlite:///C:\d\x.db`},
		{
			"SQLite driver URI", "sqlite:///file:x.db?mode=ro&uri=true",
			parts{Scheme: "sqlite", Database: "file:x.db", Query: url.Values{"mode": {"ro"}, "uri": {"true"}}},
			"sqlite:///file:x.db?mode=ro&uri=true",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got, err := driver.ParseURL(tt.in)
			require.NoError(t, err)
			if tt.want.Query == nil {
				tt.want.Query = url.Values{}
			}
			// Compared field by field: a failure must show what differs, and
			// the URL itself would only print its masked form.
			require.Equal(t, tt.want, partsOf(got))
			require.Equal(t, tt.text, got.String())
		})
	}
}

func TestParseURLErrors(t *testing.T) {
	t.Parallel()

	tests := []struct{ name, in, want string }{
		{"empty", "", "does not start with a scheme"},
		{"no scheme", "u:s3cr3t@h/db", "does not start with a scheme"},
		{"no slashes", "mysql:u:s3cr3t@h/db", "does not start with a scheme"},
		{"bad scheme", "post-gres://u:s3cr3t@h", "does not start with a scheme"},
		{"password before ://", "u:s3cr3t://h", "does not start with a scheme"},
		{"empty driver", "postgresql+://u:s3cr3t@h", "does not start with a scheme"},
		{"two drivers", "postgresql+a+b://u:s3cr3t@h", "does not start with a scheme"},
		{"space before", " postgresql://u:s3cr3t@h", "space before URL"},
		{"in quotes", "'postgresql://u:s3cr3t@h/d'", "in quotation marks"},
		{"in double quotes", `"postgresql://u:s3cr3t@h/d"`, "in quotation marks"},
		{"after a quote", `"postgresql://u:s3cr3t@h/d`, "in quotation marks"},
		{"quotes and a line break", "'postgresql://u:s3cr3t@h/d'\n", "line break"},
		{"password with a host and a query", "postgresql://me:s3cr3t@evil.example/db?application_name=@good.example/shop?sslmode=verify-full", "%40"},
		{"space after", "postgresql://u:s3cr3t@h/d ", "space at the end"},
		{"line break", "postgresql://u:s3cr3t@h/d\n", "control character"},
		{"NUL", "postgresql://u:s3cr3t@h/d\x00", "control character"},
		{"encoded NUL", "postgresql://u:s3cr3t%00@h/d", "NUL"},
		{"encoded NUL in a parameter", "postgresql://u:s3cr3t@h/d?a=%00", "NUL"},
		{"at in password", "postgresql://u:p@s3cr3t@h/d", "write %40"},
		{"at and colon in password", "postgresql://u:p@s3cr3t:x@h/d", "write %40"},
		{"at and slash in password", "postgresql://u:p@x/s3cr3t@h/d", "write %40"},
		{"at and question mark in password", "postgresql://u:p@x?s3cr3t@h/d", "write %40"},
		{"at and parameter in password", "postgresql://u:p@x?s3cr3t=1@h/d", "write %40"},
		{"at, slash and question mark in password", "postgresql://u:p@x/y?s3cr3t@h/d", "write %40"},
		{"at in host, empty password", "postgresql://u:@s3cr3t@h/d", "write %40"},
		{"no user, at in a parameter", "postgresql://h?password=s3cr3t@x", "%40 for an @ in a parameter"},
		{"port, at in a parameter", "postgresql://h:5432/d?password=s3cr3t@x", "two ways"},
		{"port, at in the database", "postgresql://h:5432/s3cr3t@x", "two ways"},
		{"password as port", "postgresql://u:s3cr3t/db", "port in URL"},
		{"empty port", "postgresql://u:s3cr3t@h:/db", "port in URL"},
		{"port zero", "postgresql://u:s3cr3t@h:0", "port in URL"},
		{"large port", "postgresql://u:s3cr3t@h:65536", "port in URL"},
		{"signed port", "postgresql://u:s3cr3t@h:+1", "port in URL"},
		{"several hosts", "postgresql://u:s3cr3t@h1:1,h2:2/d", "?host=h1,h2"},
		{"several IPv6 hosts", "postgresql://u:s3cr3t@[::1]:1,[::2]:2/d", "?host=h1,h2"},
		{"bare IPv6", "postgresql://u:s3cr3t@fe80::1:2/d", "in brackets"},
		{"open bracket", "postgresql://u:s3cr3t@[::1/d", "in brackets"},
		{"bracketed name", "postgresql://u:s3cr3t@[h]/d", "in brackets"},
		{"after bracket", "postgresql://u:s3cr3t@[::1]5432/d", "in brackets"},
		{"IPv6 port", "postgresql://u:s3cr3t@[::1]:x/d", "port in URL"},
		{"encoded socket as host", "postgresql://u:s3cr3t@%2Fvar%2Frun/d", "?host=/dir"},
		{"space in host", "postgresql://u:s3cr3t@a b/d", "not a name or an address"},
		{"parameter without value", "postgresql://u:s3cr3t@h/d?s3cr3t", "parameter without a value"},
		{"parameter without key", "postgresql://u:s3cr3t@h/d?=s3cr3t", "parameter without a value"},
		{"SQLite with host", "sqlite://s3cr3t.db", "SQLite URL with a user, host or port"},
		{"SQLite with port", "sqlite://:memory:", "SQLite URL with a user, host or port"},
		{"SQLite with drive", `sqlite://C:\s3cr3t.db`, "SQLite URL with a user, host or port"},
		{"SQLite with password", "sqlite://u:s3cr3t@/x.db", "SQLite URL with a user, host or port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()

			got, err := driver.ParseURL(tt.in)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, got)
			require.True(t, strings.HasPrefix(err.Error(), "driver: "), "prefix")
			require.NotContains(t, err.Error(), "s3cr3t")
		})
	}
}

func TestURLShowsNoPassword(t *testing.T) {
	t.Parallel()

	u, err := driver.ParseURL("postgresql://u:s3cr3t@h/d?sslpassword=s3cr3t&Token=s3cr3t&api_key=s3cr3t&pass=s3cr3t&sslkey=/k.pem")
	require.NoError(t, err)
	require.Equal(t, "s3cr3t", u.Password())
	require.Equal(t, "s3cr3t", u.Parameters().Get("sslpassword"))
	require.Equal(t, url.Values{"sslkey": {"/k.pem"}}, u.Query)
	const want = "postgresql://u:***@h/d?Token=***&api_key=***&pass=***&sslkey=/k.pem&sslpassword=***"

	for _, verb := range []string{"%v", "%+v", "%s", "%d", "%x", "%t", "%10.3s"} {
		require.Equal(t, want, fmt.Sprintf(verb, *u), verb)
	}
	require.Equal(t, want, fmt.Sprint(u))
	require.Equal(t, `"`+want+`"`, fmt.Sprintf("%q", u))
	require.Equal(t, `driver.URL("`+want+`")`, fmt.Sprintf("%#v", u))

	holder := map[string]any{"pointer": u, "value": *u}
	for name, marshal := range map[string]func(any) ([]byte, error){
		"JSON": json.Marshal, "goccy": yaml.Marshal, "yaml.v3": yamlv3.Marshal,
	} {
		text, err := marshal(holder)
		require.NoError(t, err, name)
		require.Equal(t, 2, bytes.Count(text, []byte("postgresql://u:***@h/d")), name)
		require.NotContains(t, string(text), "s3cr3t", name)
	}

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("open", "url", u, "value", *u, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "url", u, "value", *u, "holder", holder)
	require.Contains(t, log.String(), want)
	require.NotContains(t, log.String(), "s3cr3t")
}

// TestURLIsOutOfReach prints URLs where fmt asks no method of theirs: as a part
// of something else, and with verbs that fit nothing.
func TestURLIsOutOfReach(t *testing.T) {
	t.Parallel()

	u, err := driver.ParseURL("postgresql://u:s3cr3t@h/d?sslpassword=s3cr3t&Token=s3cr3t")
	require.NoError(t, err)
	type inner struct{ u driver.URL }
	type outer struct {
		inner

		pointer *driver.URL
		any     any
		list    []driver.URL
		byName  map[string]driver.URL
		deep    *inner
	}
	held := outer{inner{*u}, u, *u, []driver.URL{*u}, map[string]driver.URL{"a": *u}, &inner{*u}}
	for _, v := range []any{u, *u, held, &held, []driver.URL{*u}, []any{held, u}, map[string]any{"a": held}, reflect.ValueOf(*u), u.Query} {
		for verb := byte('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "#30.3", "+30"} {
				format := "%" + flags + string(verb)
				require.NotContains(t, fmt.Sprintf(format, v), "s3cr3t", "%s of %T", format, v)
				require.NotContains(t, fmt.Errorf(format, v).Error(), "s3cr3t", "%s of %T", format, v)
			}
		}
	}
	var gobbed bytes.Buffer
	require.NoError(t, gob.NewEncoder(&gobbed).Encode(u))
	require.NotContains(t, gobbed.String(), "s3cr3t")
}

// A copy of a URL may get another password.
func TestURLPassword(t *testing.T) {
	t.Parallel()

	u, err := driver.ParseURL("mysql://u:p@h/d?token=x&a=b")
	require.NoError(t, err)
	other := *u
	other.SetPassword("q")
	require.Equal(t, []string{"p", "q"}, []string{u.Password(), other.Password()})
	require.Equal(t, url.Values{"token": {"x"}, "a": {"b"}}, other.Parameters())
	other.Parameters().Set("a", "c")
	require.Equal(t, "b", u.Parameters().Get("a"))

	var zero driver.URL
	require.Empty(t, zero.Password())
	require.Empty(t, zero.Parameters())
	zero.SetPassword("p")
	require.Equal(t, "://:***@", zero.String())
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"postgresql+psycopg2://scott:ti%40ger@h:5432/db?sslmode=require&a=1&a=2", "postgres://u@[::1%25]:1/d#f",
		"mysql://u:p/s?s#@h/d", "mysql://:@?unix_socket=/tmp/x", "sqlite:////a/b@c.db", "sqlite:///file:x?uri=true&mode=ro",
		"sqlite://", "a+b://%zz%:%@%/%?%=%", "x://h?password=a+b", "x://u:p@h1:1,h2:2", "x://u@v@w?=", "x://u:p@h?k=@",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := driver.ParseURL(s)
		if err != nil {
			require.Nil(t, u)
			return
		}
		shown := u.String()
		again, err := driver.ParseURL(shown)
		require.NoError(t, err, "%q prints as %q", s, shown)
		require.Equal(t, shown, again.String())

		want, got := partsOf(u), partsOf(again)
		if want.Password != "" {
			want.Password = "***"
		}
		if strings.Contains(shown, "=***") {
			want.Query, got.Query = nil, nil
		}
		require.Equal(t, want, got)
	})
}

// parts are what is in a URL, where a failed test shows them.
type parts struct {
	Scheme, Driver, User, Password, Host string
	Port                                 int
	Database                             string
	Query                                url.Values
}

func partsOf(u *driver.URL) parts {
	return parts{u.Scheme, u.Driver, u.User, u.Password(), u.Host, u.Port, u.Database, u.Parameters()}
}
