package echobun_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	goccy "github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/echobun/echobun"
)

const marker = "s3cr3t"

// markedConfig has the marker wherever a password can be.
func markedConfig(t *testing.T) echobun.Config {
	t.Helper()

	yes := true
	return echobun.Config{
		DatabaseURI:   "postgresql+pgx://u:s3cr3t@h:5432/d?sslmode=require&sslpassword=s3cr3t&a=%3Cb%3E",
		EngineOptions: echobun.EngineOptions{URL: "u:s3cr3t@h/not-a-url"},
		Binds: echobun.Binds{
			"":     {URL: "mysql://u:p@s3cr3t@h"},
			"auth": {URL: "mysql://u:s3cr3t@h/d", PoolTimeout: -1, ConnMaxLifetime: time.Hour, OnConnect: []string{"PRAGMA key='s3cr3t'"}},
			"own":  {DB: newIdleDB(t), Hooks: []bun.QueryHook{idleHook{}, idleHook{}}, LogStatements: &yes},
		},
		Defaults:     echobun.EngineOptions{URL: "s3cr3t", TLS: &tls.Config{ServerName: "s3cr3t"}, MaxOpenConns: 3},
		InstancePath: "/srv",
		Logger:       slog.Default(),
	}
}

func TestConfigShowsNoPassword(t *testing.T) {
	t.Parallel()

	cfg := markedConfig(t)
	options := cfg.Binds["auth"]
	values := map[string]any{
		"Config": cfg, "*Config": &cfg, "EngineOptions": options, "*EngineOptions": &options, "Binds": cfg.Binds,
		"slice":  []echobun.EngineOptions{options},
		"struct": struct{ Config *echobun.Config }{&cfg}, "struct of values": struct{ Binds echobun.Binds }{cfg.Binds},
	}
	_, err := cfg.Resolve()
	require.Error(t, err)
	values["error"] = err

	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
				require.NotContains(t, fmt.Sprintf(verb, v), marker, verb)
			}
			for library, marshal := range map[string]func(any) ([]byte, error){
				"JSON": json.Marshal, "goccy": goccy.Marshal, "yaml.v3": yamlv3.Marshal,
			} {
				text, err := marshal(v)
				require.NoError(t, err, library)
				require.NotContains(t, string(text), marker, library)
			}
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
			slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
			require.NotContains(t, log.String(), marker)
		})
	}
}

// TestNothingMadeOfAConfigShowsPasswords prints what New makes of a Config, with
// all verbs, also those that fit nothing: fmt asks no method then.
func TestNothingMadeOfAConfigShowsPasswords(t *testing.T) {
	t.Parallel()

	cfg := echobun.Config{
		DatabaseURI: "postgresql://u:s3cr3t@127.0.0.1:1/d?sslpassword=s3cr3t",
		Binds: echobun.Binds{
			"auth": {URL: "mysql://u:s3cr3t@127.0.0.1:1/d"},
			"log":  {URL: sqliteURL(t), OnConnect: []string{"SELECT 's3cr3t'"}},
			"key": {URL: "postgresql://127.0.0.1:1/d", Credentials: func(context.Context) (user, password string, err error) {
				return "u", "s3cr3t", nil
			}},
		},
	}
	x := newExtension(t, cfg)
	ctx, s := newSession(t, x)
	down := ran(s.Bind("auth").ExecContext(ctx, "SELECT 1"))
	require.Error(t, down)
	type held struct {
		x    *echobun.Extension
		any  any
		list []any
	}
	values := []any{x, s, s.Bind("auth"), x.Engines(), x.Metadatas(), down, ctx, held{x, s, []any{down}}, x.Health(t.Context()), cfg.Binds["key"].Credentials}
	for _, v := range values {
		for verb := byte('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#"} {
				format := "%" + flags + string(verb)
				require.NotContains(t, fmt.Sprintf(format, v), marker, "%s of %T", format, v)
				require.NotContains(t, fmt.Errorf(format, v).Error(), marker, "%s of %T", format, v)
			}
		}
	}
}

// What is masked must still be worth printing.
func TestConfigShows(t *testing.T) {
	t.Parallel()

	cfg := markedConfig(t)
	const auth = `{"url":"mysql://u:***@h/d","conn_max_lifetime":"1h0m0s","pool_timeout":"-1ns","on_connect":"1 statement"}`
	const binds = `{"":{"url":"***"},"auth":` + auth + `,"own":{"log_statements":true,"hooks":"2 hooks","db":"set"}}`
	const all = `{"database_uri":"postgresql+pgx://u:***@h:5432/d?a=%3Cb%3E&sslmode=require&sslpassword=***",` +
		`"engine_options":{"url":"***"},"binds":` + binds +
		`,"defaults":{"url":"***","max_open_conns":3,"tls":"set"},"instance_path":"/srv","logger":"set"}`

	require.Equal(t, all, cfg.String())
	require.Equal(t, all, fmt.Sprintf("%v", cfg))
	require.Equal(t, "echobun.Config("+all+")", fmt.Sprintf("%#v", cfg))
	require.Equal(t, binds, fmt.Sprint(cfg.Binds))
	require.Equal(t, "echobun.Binds("+binds+")", fmt.Sprintf("%#v", cfg.Binds))
	require.Equal(t, auth, fmt.Sprint(cfg.Binds["auth"]))
	require.Equal(t, "echobun.EngineOptions("+auth+")", fmt.Sprintf("%#v", cfg.Binds["auth"]))
	require.Equal(t, "{}", echobun.Config{}.String())

	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	require.JSONEq(t, all, string(text))
	for library, marshal := range map[string]func(any) ([]byte, error){"goccy": goccy.Marshal, "yaml.v3": yamlv3.Marshal} {
		text, err := marshal(cfg)
		require.NoError(t, err, library)
		var back any
		require.NoError(t, yamlv3.Unmarshal(text, &back), library)
		text, err = json.Marshal(back)
		require.NoError(t, err, library)
		require.JSONEq(t, all, string(text), library)
	}
}

// badURLs have the marker where a password is, or may well be.
var badURLs = []string{
	"", "s3cr3t", "u:s3cr3t", "u:s3cr3t@h", "u:s3cr3t@h/d", "//u:s3cr3t@h/d", ":s3cr3t@h", "postgresql:u:s3cr3t@h",
	"postgresql:/u:s3cr3t@h", "post-gres://u:s3cr3t@h", " postgresql://u:s3cr3t@h", "postgresql://u:s3cr3t@h/d ",
	"postgresql://u:s3cr3t@h/d\n", "postgresql://u:s3cr3t\x00@h", "postgresql://u:s3cr3t%00@h", "postgresql+://u:s3cr3t@h",
	"postgresql+a+b://u:s3cr3t@h", "+pgx://u:s3cr3t@h", "://u:s3cr3t@h", "u:s3cr3t://h", "postgresql://u:s3cr3t@h:x/d",
	"postgresql://u:s3cr3t@h:/d", "postgresql://u:s3cr3t@h:0", "postgresql://u:s3cr3t@h:99999", "postgresql://u:s3cr3t/d",
	"postgresql://u:s3cr3t", "postgresql://u:p@s3cr3t@h/d", "postgresql://u:p@s3cr3t:x@h", "postgresql://u:p@x/s3cr3t@h",
	"postgresql://u:p@x?s3cr3t@h", "postgresql://h?password=s3cr3t@x", "postgresql://h:5432/d?password=s3cr3t@x",
	"postgresql://u:s3cr3t@h1:1,h2:2/d", "postgresql://u:s3cr3t@[::1/d", "postgresql://u:s3cr3t@::1/d",
	"postgresql://u:s3cr3t@%2Ftmp/d", "postgresql://u:s3cr3t@a b/d", "postgresql://u:s3cr3t@h/d?s3cr3t", "oracle://u:s3cr3t@h/d",
	"postgresql+pymysql://u:s3cr3t@h/d", "mysql+psycopg2://u:s3cr3t@h/d", "sqlite://s3cr3t.db", "sqlite://u:s3cr3t@h/x.db",
	"sqlite+pgx://u:s3cr3t@h", "mysql://u:s3cr3t@h\t/d", "mysql://u:s3cr3t@[h]/d", "mysql://u:s3cr3t@h/d?=s3cr3t",
}

func TestBadURLsShowNoPassword(t *testing.T) {
	t.Parallel()

	require.GreaterOrEqual(t, len(badURLs), 40)
	for _, url := range badURLs {
		t.Run(fmt.Sprintf("%q", url), func(t *testing.T) {
			t.Parallel()

			cfg := echobun.Config{Binds: echobun.Binds{"auth": {URL: url}}}
			_, err := echobun.New(cfg)
			fault := onlyFault(t, err)
			require.Equal(t, "auth", fault.Bind)
			require.Equal(t, "URL", fault.Field)
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				require.NotContains(t, fmt.Sprintf(verb, err), marker)
				require.NotContains(t, fmt.Sprintf(verb, fault), marker)
				require.NotContains(t, fmt.Sprintf(verb, fault.Err), marker)
				require.NotContains(t, fmt.Sprintf(verb, cfg), marker)
			}
			text, err := json.Marshal(fault)
			require.NoError(t, err)
			require.NotContains(t, string(text), marker)
		})
	}
}
