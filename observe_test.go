package echobun_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// slowQuery takes SQLite more than a microsecond.
const slowQuery = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) SELECT max(n) + ? FROM c"

// A slow statement is a warning whether or not all are logged, once, and what
// is not slow is not.
func TestSlowQuery(t *testing.T) {
	t.Parallel()
	on, off := true, false
	for _, tc := range []struct {
		name string
		all  bool
		bind *bool
		slow time.Duration
		want []string
	}{
		{"without the log", false, nil, time.Microsecond, []string{"WARN"}},
		{"beside the log", true, nil, time.Microsecond, []string{"WARN"}},
		{"off for the bind", true, &off, time.Microsecond, []string{"WARN"}},
		{"on for the bind", false, &on, time.Hour, []string{"INFO"}},
		{"fast", false, nil, time.Hour, nil},
		{"none", false, nil, -time.Hour, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			log := new(logBook)
			x := newExtension(t, echobun.Config{
				DatabaseURI: sqliteURL(t), EngineOptions: echobun.EngineOptions{LogStatements: tc.bind},
				LogStatements: tc.all, SlowQuery: tc.slow, Logger: log.logger(),
			})
			ctx, s := newSession(t, x)
			require.NoError(t, s.NewRaw(slowQuery, 987654321).Scan(ctx, new(int)))
			records, text := log.take(t)
			var levels []string
			for _, r := range records {
				levels = append(levels, r["level"].(string)) //nolint:errcheck // A test.
				require.Equal(t, map[string]string{"WARN": "echobun: slow statement", "INFO": "echobun: statement"}[fmt.Sprint(r["level"])], r["msg"])
				require.Equal(t, "WITH", r["op"])
				require.Greater(t, r["duration"], float64(tc.slow%time.Hour))
			}
			require.Equal(t, tc.want, levels)
			require.NotContains(t, text, "987654321")
		})
	}
}

// Arguments are in the log with LogArgs alone, in errors too.
func TestLogArgs(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{true, false} {
		log := new(logBook)
		x := newExtension(t, echobun.Config{
			DatabaseURI: threeDatabases(t).DatabaseURI, LogStatements: true, LogArgs: shown, Logger: log.logger(),
		}, (*book)(nil))
		ctx, s := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		log.take(t)
		require.NoError(t, addBook(ctx, s.Bind(""), logMarker))
		require.ErrorIs(t, addBook(ctx, s.Bind(""), logMarker), echobun.ErrUnique)
		require.Error(t, s.NewSelect().Model(new(book)).ColumnExpr("?::int", logMarker).Limit(1).Scan(ctx))
		records, _ := log.take(t)
		require.Len(t, records, 3)
		check := require.NotContains
		if shown {
			check = require.Contains
		}
		check(t, records[0]["statement"], logMarker)
		check(t, records[1]["statement"], logMarker)
		check(t, records[2]["error"], logMarker)
	}
}

// What is set is seen in a printed Config, without what it may hold.
func TestOperationsInPrintedConfig(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, `{"slow_query":"200ms","log_args":true,"record_queries":true,"leak_threshold":"1m0s",
		"binds":{"auth":{"credentials":"set","optional":true}}}`, echobun.Config{
		SlowQuery: 200 * time.Millisecond, LogArgs: true, RecordQueries: true, LeakThreshold: time.Minute,
		Binds: echobun.Binds{"auth": {Optional: true, Credentials: credentialsOf("u", "p", nil)}},
	}.String())
}
