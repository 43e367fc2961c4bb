package echobun_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

func TestMetadataOfEachBind(t *testing.T) {
	t.Parallel()
	type Post struct{ ID int64 }
	type User struct {
		authModel
		ID int64
	}
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t),
		Binds:       echobun.Binds{"auth": {URL: sqliteURL(t)}, "meta": {URL: sqliteURL(t)}},
	}, (*Post)(nil), (*User)(nil))

	metadatas := x.Metadatas()
	require.Len(t, metadatas, 3, "one for each configured bind, used or not")
	for key, m := range metadatas {
		require.Equal(t, key, m.BindKey())
	}
	require.Len(t, metadatas[""].Tables(), 1)
	require.Len(t, metadatas["auth"].Tables(), 1)
	require.Empty(t, metadatas["meta"].Tables())

	delete(metadatas, "auth")
	require.Len(t, x.Metadatas(), 3, "the map is the caller's own")

	_, ok := x.Metadatas()["auth"].Table("posts")
	require.False(t, ok)
	_, ok = x.Metadatas()["auth"].Table("users")
	require.True(t, ok)
}

func TestMetadataWithoutDefaultBind(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}}})
	require.Nil(t, x.Metadata())
	require.Nil(t, x.Engine())
	require.Len(t, x.Metadatas(), 1)
	require.Len(t, x.Engines(), 1)
}

// What Metadata gives out are copies: they route as the original, and
// changing them changes nothing.
func TestMetadataCopies(t *testing.T) {
	t.Parallel()
	original := keyed("entries")
	original.BindKey = "auth"
	original.Indexes = []echobun.Index{{Columns: []string{"id"}}}
	x := newExtension(t, echobun.Config{
		DatabaseURI: sqliteURL(t), Binds: echobun.Binds{"auth": {URL: sqliteURL(t)}},
	}, original)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))

	table, ok := x.Metadatas()["auth"].Table("entries")
	require.True(t, ok)
	require.Equal(t, original.Columns, table.Columns)
	require.Equal(t, original.Indexes, table.Indexes)
	require.Equal(t, "auth", table.BindKey)

	table.Columns[0].Name, table.Indexes[0].Columns[0], table.BindKey, table.Name = "changed", "changed", "", "changed"
	again, ok := x.Metadatas()["auth"].Table("entries")
	require.True(t, ok)
	require.Equal(t, original.Columns, again.Columns)
	require.Equal(t, original.Indexes, again.Indexes)

	_, err := s.NewInsert().Table(table).Model(&map[string]any{"id": 1}).Exec(ctx)
	require.NoError(t, err, "a changed copy still routes as the table that it is a copy of")
	require.Equal(t, 1, catalogueOf(t, x.Engines(), "auth").count("entries"))
	require.NoError(t, x.Register(again), "it is registered already")
	require.Len(t, x.Metadatas()["auth"].Tables(), 1)
}

// The original's Table is read when it is registered.
func TestMetadataKeepsWhatWasRegistered(t *testing.T) {
	t.Parallel()
	original := keyed("entries")
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, original)
	original.Name, original.Columns[0].Name, original.BindKey = "changed", "changed", "nope"

	table, ok := x.Metadata().Table("entries")
	require.True(t, ok)
	require.Equal(t, "id", table.Columns[0].Name)
	ctx, s := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	n, err := s.NewSelect().Table(original).Count(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

type (
	describedAuthor struct {
		bun.BaseModel `bun:"table:authors"`
		ID            int64  `bun:",pk,autoincrement"`
		Email         string `bun:"mail,notnull,unique"`
		Rank          int    `bun:",nullzero,default:7"`
	}
	describedBook struct {
		bun.BaseModel `bun:"table:books"`
		ID            int64 `bun:",pk,autoincrement"`
		AuthorID      int64
		Author        *describedAuthor `bun:"rel:belongs-to,join:author_id=id"`
		Text          string           `bun:"type:citext"`
	}
)

func TestMetadataDescribesModels(t *testing.T) {
	t.Parallel()
	for _, keys := range []bool{false, true} {
		t.Run(fmt.Sprintf("ForeignKeys=%v", keys), func(t *testing.T) {
			t.Parallel()
			x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t), ForeignKeys: keys}, (*describedBook)(nil), (*describedAuthor)(nil))
			authors, ok := x.Metadata().Table("authors")
			require.True(t, ok)
			require.Equal(t, []echobun.Column{
				{Name: "id", Type: echobun.SQL("INTEGER"), PrimaryKey: true, AutoIncrement: true, NotNull: true},
				{Name: "mail", Type: echobun.SQL("VARCHAR"), NotNull: true, Unique: true},
				{Name: "rank", Type: echobun.SQL("INTEGER"), Default: "7"},
			}, authors.Columns)

			books, ok := x.Metadata().Table("books")
			require.True(t, ok)
			require.Equal(t, echobun.SQL("citext"), books.Columns[2].Type)
			want := ""
			if keys {
				want = "authors.id"
			}
			require.Equal(t, want, books.Columns[1].References)
		})
	}
}

// PostgreSQL tells upper from lower case in names, the others need not.
func TestMetadataFoldsNames(t *testing.T) {
	t.Parallel()
	for url, folds := range map[string]bool{
		"postgresql://u@127.0.0.1/db": false, "mysql://u@127.0.0.1/db": true, "sqlite://": true,
	} {
		x := newExtension(t, echobun.Config{DatabaseURI: url}, keyed("Entries"))
		_, ok := x.Metadata().Table("Entries")
		require.True(t, ok, url)
		_, ok = x.Metadata().Table("ENTRIES")
		require.Equal(t, folds, ok, url)
		require.Equal(t, folds, x.Register(keyed("entries")) != nil, url)
	}
}

func TestMetadataWhileRegistering(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: "sqlite://"})
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			name := fmt.Sprintf("table%d", i)
			if err := x.Register(keyed(name, "table0")); err != nil {
				t.Error(err)
			}
			if _, ok := x.Metadata().Table(name); !ok {
				t.Errorf("%s is missing", name)
			}
			for _, table := range x.Metadata().Tables() {
				_ = table.Columns[0].Name
			}
		})
	}
	running.Wait()
	require.Len(t, x.Metadata().Tables(), 20)
}
