package echobun_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

func TestConfigFromEnv(t *testing.T) {
	yes := true
	tests := []struct {
		name   string
		prefix string
		env    map[string]string
		want   echobun.Config
	}{
		{
			"all", "APP",
			map[string]string{
				"APP_DATABASE_URI":   "a://",
				"APP_ENGINE_OPTIONS": `{"pool_recycle": 3600, "echo": true}`,
				"APP_BINDS":          `{"meta": "m://", "auth": {"url": "old://", "unmanaged": true}}`,
				"APP_BINDS__AUTH":    "mysql://u:p@h/d",
				"APP_BINDS__Log_DB":  ` {"url": "l://", "pool_size": 2}`,
				"APP_BINDS__QUOTED":  `"q://"`,
				"APP_ECHO":           "on",
				"APP_SLOW_QUERY":     "200ms",
				"APP_LOG_ARGS":       "true",
				"APP_RECORD_QUERIES": "1",
				"APP_LEAK_THRESHOLD": "1m",
				"APP_INSTANCE_PATH":  "/srv/app",
				"APP_APP_NAME":       "shop",
				"APP_FOREIGN_KEYS":   "yes",
				"APP_DEFAULTS":       `{"optional": true}`,
				"APP_PORT":           "8080",
				"DATABASE_URL":       "unused://",
				"DATABASE_URI":       "unused://",
			},
			echobun.Config{
				DatabaseURI:   "a://",
				SlowQuery:     200 * time.Millisecond,
				LogArgs:       true,
				RecordQueries: true,
				LeakThreshold: time.Minute,
				EngineOptions: echobun.EngineOptions{ConnMaxLifetime: time.Hour, LogStatements: &yes},
				Binds: echobun.Binds{
					"meta": {URL: "m://"}, "auth": {URL: "mysql://u:p@h/d"},
					"log_db": {URL: "l://", MaxIdleConns: 2, MaxOpenConns: 12}, "quoted": {URL: "q://"},
				},
				LogStatements: true, InstancePath: "/srv/app", AppName: "shop",
				ForeignKeys: true, Defaults: echobun.EngineOptions{Optional: true},
			},
		},
		{"nothing", "APP", nil, echobun.Config{}},
		{"DATABASE_URL", "APP", map[string]string{"DATABASE_URL": "d://"}, echobun.Config{DatabaseURI: "d://"}},
		{
			"DATABASE_URL beside others of the application", "APP",
			map[string]string{"DATABASE_URL": "d://", "APP_PORT": "8080", "APPX_ECHO": "1", "APP_ECHO": ""},
			echobun.Config{DatabaseURI: "d://"},
		},
		{
			"DATABASE_URL beside a bind", "APP",
			map[string]string{"DATABASE_URL": "d://", "APP_BINDS__A": "a://"},
			echobun.Config{Binds: echobun.Binds{"a": {URL: "a://"}}},
		},
		{
			"no prefix", "",
			map[string]string{"DATABASE_URI": "a://", "BINDS__A": "b://", "DATABASE_URL": "d://"},
			echobun.Config{DatabaseURI: "a://", Binds: echobun.Binds{"a": {URL: "b://"}}},
		},
		{"DATABASE_URL beside an option", "APP", map[string]string{"APP_ECHO": "0", "DATABASE_URL": "d://"}, echobun.Config{DatabaseURI: "d://"}},
		{
			"DATABASE_URL beside a URL among the options", "APP",
			map[string]string{"APP_ENGINE_OPTIONS": `{"url": "o://"}`, "DATABASE_URL": "d://"},
			echobun.Config{EngineOptions: echobun.EngineOptions{URL: "o://"}},
		},
		{
			"seconds", "APP",
			map[string]string{"APP_DATABASE_URI": "a://", "APP_SLOW_QUERY": "0.2", "APP_LEAK_THRESHOLD": " 60 "},
			echobun.Config{DatabaseURI: "a://", SlowQuery: 200 * time.Millisecond, LeakThreshold: time.Minute},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", "")
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			cfg, err := echobun.ConfigFromEnv(tt.prefix)
			require.NoError(t, err)
			require.Equal(t, plain(tt.want), plain(cfg))
		})
	}
}

func TestConfigFromEnvErrors(t *testing.T) {
	t.Setenv("APP_DATABASE_URI", "a://u:s3cr3t@h")
	t.Setenv("APP_ENGINE_OPTIONS", "postgresql://u:s3cr3t@h")
	t.Setenv("APP_BINDS", `{"meta": 5, "log": {"pool_sice": "s3cr3t"}}`)
	t.Setenv("APP_BINDS__AUTH", `{"url": "a://u:s3cr3t@h", "unmanaged": "s3cr3t"}`)
	t.Setenv("APP_BINDS__auth", "a://u:s3cr3t@h")
	t.Setenv("APP_BINDS__BROKEN", `{"url": "a://u:s3cr3t@h`)
	t.Setenv("APP_BINDS__", "a://u:s3cr3t@h")
	t.Setenv("APP_BINDS_LATE", "postgresql://u:s3cr3t@h")
	t.Setenv("APP_BINDS_PORT", "tcp://10.0.0.1:80") // As Kubernetes makes them.
	t.Setenv("APP_SLOW_QUERY", "s3cr3t")
	t.Setenv("APP_ECHO", "s3cr3t")

	cfg, err := echobun.ConfigFromEnv("APP")
	require.Equal(t, plain(echobun.Config{}), plain(cfg))
	var got []string
	for _, fault := range faults(t, err) {
		got = append(got, fault.Bind+"/"+fault.Field+": "+fault.Err.Error())
	}
	require.Equal(t, []string{
		`/APP_ECHO: want true, false or "debug", not another string`,
		`/APP_SLOW_QUERY: want a duration such as "90s" or "1h30m", or a number of seconds`,
		`/APP_ENGINE_OPTIONS: want JSON: invalid character 'p' looking for beginning of value`,
		`meta/APP_BINDS: want a URL or an object of options, not a number`,
		`log/pool_sice: in APP_BINDS: unknown key: known are conn_max_idle_time, conn_max_lifetime, connect_timeout, echo, ` +
			`log_statements, max_idle_conns, max_open_conns, max_overflow, on_connect, optional, pool_pre_ping, pool_recycle, ` +
			`pool_size, pool_timeout, unmanaged, url`,
		`/APP_BINDS_LATE: has one underscore before the bind key: write APP_BINDS__LATE`,
		`/APP_BINDS__: has no bind key after the underscores: the default bind is APP_DATABASE_URI`,
		`auth/unmanaged: in APP_BINDS__AUTH: want true or false, not a string`,
		`broken/APP_BINDS__BROKEN: want JSON: unexpected end of JSON input`,
		`auth/APP_BINDS__auth: is the same bind as APP_BINDS__AUTH: unset one`,
	}, got)
	require.NotContains(t, err.Error(), "s3cr3t")
}
