package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/driver"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	_, url := newFile(t)
	db := open(t, url)
	for range 3 {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		require.Equal(t, "wal", one[string](t, conn, "PRAGMA journal_mode"))
		require.Equal(t, 5000, one[int](t, conn, "PRAGMA busy_timeout"))
		require.Equal(t, 1, one[int](t, conn, "PRAGMA foreign_keys"))
		require.Equal(t, 1, one[int](t, conn, "PRAGMA synchronous"))
		require.Equal(t, 0, one[int](t, conn, "PRAGMA query_only"))
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ query, pragma, want string }{
		{"busy_timeout=123", "busy_timeout", "123"},
		{"_busy_timeout=123", "busy_timeout", "123"},
		{"_timeout=123", "busy_timeout", "123"},
		{"timeout=1.5", "busy_timeout", "1500"},
		{"_pragma=busy_timeout(7)", "busy_timeout", "7"},
		{"journal_mode=delete", "journal_mode", "delete"},
		{"_journal=TRUNCATE", "journal_mode", "truncate"},
		{"_pragma=journal_mode%3Dpersist", "journal_mode", "persist"},
		{"synchronous=full", "synchronous", "2"},
		{"_sync=0", "synchronous", "0"},
		{"foreign_keys=off", "foreign_keys", "0"},
		{"_fk=no", "foreign_keys", "0"},
		{"_pragma=foreign_keys(0)", "foreign_keys", "0"},
		{"query_only=1", "query_only", "1"},
		{"auto_vacuum=incremental", "auto_vacuum", "2"},
		{"_pragma=page_size(8192)", "page_size", "8192"},
		{"_pragma=cache_size(-100)&_pragma=temp_store(memory)", "cache_size", "-100"},
		{"_pragma=encoding('UTF-16le')", "encoding", "UTF-16le"},
		{"check_same_thread=false&cached_statements=5&detect_types=3", "busy_timeout", "5000"},
		{"_txlock=deferred&_dqs=0&_defensive=1&_error_rc=0", "busy_timeout", "5000"},
		{"isolation_level=EXCLUSIVE", "busy_timeout", "5000"},
		{"cache=private&nolock=0&psow=1&immutable=0&mode=rwc", "busy_timeout", "5000"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			_, url := newFile(t)
			require.Equal(t, tt.want, one[string](t, open(t, url+"?"+tt.query), "PRAGMA "+tt.pragma))
		})
	}
}

func TestRefusedParameters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ query, name string }{
		{"bogus=1", "bogus"},
		{"Timeout=1", "Timeout"},
		{"busy_timeout=x", "busy_timeout"},
		{"busy_timeout=-1", "busy_timeout"},
		{"busy_timeout=99999999999", "busy_timeout"},
		{"timeout=NaN", "timeout"},
		{"timeout=-1", "timeout"},
		{"timeout=1e9", "timeout"},
		{"timeout=1&busy_timeout=1", "busy_timeout"},
		{"busy_timeout=1&busy_timeout=2", "busy_timeout"},
		{"journal_mode=wall", "journal_mode"},
		{"synchronous=some", "synchronous"},
		{"foreign_keys=maybe", "foreign_keys"},
		{"auto_vacuum=3", "auto_vacuum"},
		{"query_only=2", "query_only"},
		{"_txlock=none", "_txlock"},
		{"transaction=none", "transaction"},
		{"transaction=deferred&_txlock=immediate", "_txlock"},
		{"isolation_level=SERIALIZABLE", "isolation_level"},
		{"uri=perhaps", "uri"},
		{"mode=rwx", "mode"},
		{"cache=all", "cache"},
		{"immutable=x", "immutable"},
		{"_time_format=rfc", "_time_format"},
		{"_time_integer_format=x", "_time_integer_format"},
		{"_timezone=Moon/Base", "_timezone"},
		{"_texttotime=x", "_texttotime"},
		{"_pragma=a%3B%20DROP%20TABLE%20x", "_pragma"},
		{"_pragma=a(1)%3B%20SELECT%201", "_pragma"},
		{"_pragma=a('b')c')", "_pragma"},
		{"_pragma=foreign_keys(x)", "foreign_keys"},
		{"_pragma=busy_timeout", "busy_timeout"},
		{"_pragma=busy_timeout(1)&timeout=1", "timeout"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			_, err := connect(t, "sqlite:///x.db?"+tt.query, driver.Options{InstancePath: t.TempDir()})
			require.ErrorContains(t, err, `"`+tt.name+`"`)
		})
	}
}

func TestTransactionMode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode    string
		refused bool // A second writer, at its BEGIN.
	}{{"immediate", true}, {"exclusive", true}, {"deferred", false}} {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			path, url := newFile(t)
			db := open(t, url+"?busy_timeout=20&_txlock="+tt.mode)
			run(t, db, "CREATE TABLE x (id INTEGER)")
			other, err := foreign(t, path).BeginTx(t.Context(), nil)
			require.NoError(t, err)
			tx, err := db.BeginTx(t.Context(), nil)
			require.Equal(t, tt.refused, err != nil)
			if err == nil {
				require.NoError(t, tx.Rollback())
			}
			require.NoError(t, other.Rollback())
		})
	}
}

func TestDriverIsRegistered(t *testing.T) {
	t.Parallel()
	require.Contains(t, driver.Drivers(), "sqlite")
	require.Contains(t, driver.Drivers(), "sqlite+modernc")
	require.NotSame(t, lite().Dialect(), lite().Dialect())
	require.NotSame(t, lite().Dialect().Tables(), lite().Dialect().Tables())
}
