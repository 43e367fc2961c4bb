package sqlite_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPointSelect compares a select by primary key with one through
// modernc.org/sqlite alone, with and without a context that can be cancelled.
func BenchmarkPointSelect(b *testing.B) {
	path, url := newFile(b)
	db := open(b, url)
	run(b, db, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	run(b, db, "INSERT INTO users (id, name) VALUES (1, 'one'), (2, 'two')")
	memory := open(b, "sqlite://")
	run(b, memory, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	run(b, memory, "INSERT INTO users (id, name) VALUES (1, 'one'), (2, 'two')")
	plain, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_time_format=sqlite&_timezone=UTC")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, plain.Close()) })

	for _, bb := range []struct {
		name string
		db   *sql.DB
		ctx  context.Context
	}{
		{"modernc", plain, context.Background()},
		{"driver", db.DB, context.Background()},
		{"modernc/cancellable", plain, b.Context()},
		{"driver/cancellable", db.DB, b.Context()},
		{"memory", memory.DB, context.Background()},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var name string
				if err := bb.db.QueryRowContext(bb.ctx, "SELECT name FROM users WHERE id = 2").Scan(&name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInsert compares an autocommitted insert likewise.
func BenchmarkInsert(b *testing.B) {
	for _, bb := range []struct {
		name string
		open func(path, url string) *sql.DB
	}{
		{"modernc", func(path, _ string) *sql.DB {
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, db.Close()) })
			return db
		}},
		{"driver", func(_, url string) *sql.DB { return open(b, url).DB }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			db := bb.open(newFile(b))
			_, err := db.ExecContext(b.Context(), "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := db.ExecContext(b.Context(), "INSERT INTO users (name) VALUES ('one')"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
