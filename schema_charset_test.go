package echobun_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

type letter struct {
	ID   int64 `bun:",pk,autoincrement"`
	Text string
	At   time.Time
}

type postcard struct {
	ID   int64 `bun:",pk,autoincrement"`
	Text string
}

var telegrams = &echobun.Table{Name: "telegrams", Columns: []echobun.Column{
	{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
	{Name: "text", Type: echobun.String(80), NotNull: true, Default: "'('"},
}}

// databaseOf makes a database on MariaDB with the options of CREATE DATABASE.
func databaseOf(t *testing.T, options string, models ...any) (*echobun.Extension, context.Context, *echobun.Session) {
	t.Helper()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.MariaDB(t).URL()}, models...)
	ctx, s := newSession(t, x)
	var name string
	require.NoError(t, s.Bind("").NewRaw("SELECT DATABASE()").Scan(ctx, &name))
	_, err := s.Bind("").NewRaw("ALTER DATABASE ? "+options, bun.Ident(name)).Exec(ctx)
	require.NoError(t, err)
	return x, ctx, s
}

// The tables of a database whose default is latin1, as of a plain CREATE
// DATABASE on MariaDB, take text of every kind, whoever makes them.
func TestTablesInALatin1Database(t *testing.T) {
	t.Parallel()
	x, ctx, s := databaseOf(t, "CHARACTER SET latin1", (*letter)(nil), telegrams)
	require.NoError(t, x.CreateAll(ctx))
	_, err := s.NewCreateTable().Model((*postcard)(nil)).Comment("(of the session)").PartitionBy("HASH (id)").Exec(ctx)
	require.NoError(t, err)
	_, err = x.Engine().NewCreateTable().Model((*postcard)(nil)).ModelTableExpr("cards").Exec(ctx)
	require.NoError(t, err)

	in := &letter{Text: "☃ 🎉", At: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)}
	_, err = s.NewInsert().Model(in).Exec(ctx)
	require.NoError(t, err)
	out := new(letter)
	require.NoError(t, s.NewSelect().Model(out).Where("text = ? AND at = ?", in.Text, in.At).Scan(ctx))
	require.Equal(t, in, out)
	for _, table := range []string{"telegrams", "postcards", "cards"} {
		_, err = s.Bind("").NewRaw("INSERT INTO ? (id, text) VALUES (1, '🎉')", bun.Ident(table)).Exec(ctx)
		require.NoError(t, err, table)
	}

	_, err = s.Bind("").ExecContext(ctx, "CREATE TABLE own (text varchar(10))")
	require.NoError(t, err)
	_, err = s.Bind("").ExecContext(ctx, "INSERT INTO own VALUES ('🎉')")
	require.ErrorIs(t, err, echobun.ErrInvalidValue, "one's own SQL is left alone, and what does not fit is refused")
}

// A database that takes all text gives its collation to its tables.
func TestTablesKeepTheCollation(t *testing.T) {
	t.Parallel()
	x, ctx, s := databaseOf(t, "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", (*letter)(nil), telegrams)
	require.NoError(t, x.CreateAll(ctx))
	var collations []string
	require.NoError(t, s.Bind("").NewRaw("SELECT DISTINCT TABLE_COLLATION FROM information_schema.TABLES "+
		"WHERE TABLE_SCHEMA = DATABASE()").Scan(ctx, &collations))
	require.Equal(t, []string{"utf8mb4_bin"}, collations)
}

// A table in another schema asks for that schema's.
func TestTableInALatin1Schema(t *testing.T) {
	t.Parallel()
	server := dbtest.StartMariaDB(t)
	other := &echobun.Table{Name: "telegrams", Schema: "other", Columns: telegrams.Columns}
	x := newExtension(t, echobun.Config{DatabaseURI: server.URL() + "?collation=utf8mb4_unicode_ci"}, other)
	ctx, s := newSession(t, x)
	_, err := s.Bind("").ExecContext(ctx, "CREATE DATABASE other CHARACTER SET latin1")
	require.NoError(t, err)
	require.NoError(t, x.CreateAll(ctx))
	_, err = s.NewInsert().Table(other).Model(&map[string]any{"id": 1, "text": "🎉"}).Exec(ctx)
	require.NoError(t, err)
	var collation string
	require.NoError(t, s.Bind("").NewRaw("SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'other'").Scan(ctx, &collation))
	require.Equal(t, "utf8mb4_unicode_ci", collation)
}

// A foreign key to a table of the old character set is refused, with the way out.
func TestForeignKeyToALatin1Table(t *testing.T) {
	t.Parallel()
	child := &echobun.Table{Name: "children", Columns: []echobun.Column{
		{Name: "id", Type: echobun.BigInteger, PrimaryKey: true},
		{Name: "code", Type: echobun.String(20), References: "parents.code"},
	}}
	parent := &echobun.Table{Name: "parents", Columns: []echobun.Column{{Name: "code", Type: echobun.String(20), PrimaryKey: true}}}
	x, ctx, s := databaseOf(t, "CHARACTER SET latin1", parent, child)
	_, err := s.Bind("").ExecContext(ctx, "CREATE TABLE parents (code varchar(20) PRIMARY KEY)")
	require.NoError(t, err)
	require.ErrorContains(t, x.CreateAll(ctx), "CONVERT TO CHARACTER SET utf8mb4")
	_, err = s.Bind("").ExecContext(ctx, "ALTER TABLE parents CONVERT TO CHARACTER SET utf8mb4")
	require.NoError(t, err)
	require.NoError(t, x.CreateAll(ctx))
}
