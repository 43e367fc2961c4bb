package echobun_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
)

// keyed returns a table with an id and a foreign key for each parent.
func keyed(name string, parents ...string) *echobun.Table {
	t := &echobun.Table{Name: name, Columns: []echobun.Column{{Name: "id", Type: echobun.BigInteger, PrimaryKey: true}}}
	for _, parent := range parents {
		t.Columns = append(t.Columns, echobun.Column{Name: parent + "_id", Type: echobun.BigInteger, References: parent + ".id"})
	}
	return t
}

// A table that a column refers to is registered, or it is there already.
func TestReferenceToATableThatIsNowhere(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{keyed("kin", "nowhere"), keyed("good")}, func(t *testing.T, x *echobun.Extension) {
		ctx, db := newSession(t, x)
		err := x.CreateAll(ctx)
		var bindErr *echobun.BindError
		require.ErrorAs(t, err, &bindErr)
		require.ErrorContains(t, err, `CREATE TABLE "kin": its column "nowhere_id" refers to table "nowhere", which is neither registered on default bind nor there`)
		require.NotContains(t, err.Error(), "utf8mb4")
		require.Empty(t, catalogueOf(t, x.Engines(), echobun.DefaultBind).tables())

		_, err = db.NewRaw("CREATE TABLE nowhere (id BIGINT NOT NULL PRIMARY KEY)").Exec(ctx)
		require.NoError(t, err)
		require.NoError(t, x.CreateAll(ctx))
		require.NoError(t, x.CreateAll(ctx), "it is there already")
		require.Equal(t, []string{"good", "kin", "nowhere"}, catalogueOf(t, x.Engines(), echobun.DefaultBind).tables())

		require.NoError(t, x.DropAll(ctx))
		require.NoError(t, x.Register(keyed("nowhere")))
		require.NoError(t, x.CreateAll(ctx))
	})
}

// Foreign keys are made in any order of declaration, and where tables refer to
// each other in a circle; and all of it can be dropped, rows and all.
func TestForeignKeyCycles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		tables []any
		wants  map[string][]string
		rows   []string
	}{
		{
			name:   "ChildFirst",
			tables: []any{keyed("leaf", "branch"), keyed("branch", "root"), keyed("root")},
			wants:  map[string][]string{"leaf": {"branch_id > branch(id)"}, "branch": {"root_id > root(id)"}, "root": {}},
			rows:   []string{"INSERT INTO root VALUES (1)", "INSERT INTO branch VALUES (1, 1)", "INSERT INTO leaf VALUES (1, 1)"},
		},
		{
			name:   "Self",
			tables: []any{keyed("node", "node")},
			wants:  map[string][]string{"node": {"node_id > node(id)"}},
			rows:   []string{"INSERT INTO node VALUES (1, 1)", "INSERT INTO node VALUES (2, 1)"},
		},
		{
			name:   "Two",
			tables: []any{keyed("hen", "egg"), keyed("egg", "hen")},
			wants:  map[string][]string{"hen": {"egg_id > egg(id)"}, "egg": {"hen_id > hen(id)"}},
			rows: []string{
				"INSERT INTO hen VALUES (1, NULL)", "INSERT INTO egg VALUES (1, 1)", "UPDATE hen SET egg_id = 1",
			},
		},
		{
			name:   "Three",
			tables: []any{keyed("rock", "paper"), keyed("paper", "scissors"), keyed("scissors", "rock")},
			wants: map[string][]string{
				"rock": {"paper_id > paper(id)"}, "paper": {"scissors_id > scissors(id)"}, "scissors": {"rock_id > rock(id)"},
			},
			rows: []string{
				"INSERT INTO rock VALUES (1, NULL)", "INSERT INTO scissors VALUES (1, 1)", "INSERT INTO paper VALUES (1, 1)",
				"UPDATE rock SET paper_id = 1",
			},
		},
		{
			name:   "TwoParents",
			tables: []any{keyed("child", "mother", "father"), keyed("mother"), keyed("father", "mother")},
			wants: map[string][]string{
				"child": {"father_id > father(id)", "mother_id > mother(id)"}, "father": {"mother_id > mother(id)"}, "mother": {},
			},
			rows: []string{"INSERT INTO mother VALUES (1)", "INSERT INTO father VALUES (1, 1)", "INSERT INTO child VALUES (1, 1, 1)"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			perDatabase(t, tt.tables, func(t *testing.T, x *echobun.Extension) {
				t.Helper()
				ctx, _ := newSession(t, x)
				cat := catalogueOf(t, x.Engines(), "")
				for range 2 {
					require.NoError(t, x.CreateAll(ctx))
					for name, want := range tt.wants {
						require.Equal(t, want, cat.foreignKeys(name), name)
					}
					for _, row := range tt.rows {
						cat.exec(row)
					}
					require.NoError(t, x.CreateAll(ctx), "a second time does nothing, and adds no key again")
					for name, want := range tt.wants {
						require.Equal(t, want, cat.foreignKeys(name), name)
					}
					require.NoError(t, x.DropAll(ctx))
					require.Empty(t, cat.tables())
				}
			})
		})
	}
}

// References of a Table are enforced whatever Config.ForeignKeys says.
func TestReferencesAreEnforced(t *testing.T) {
	t.Parallel()
	parent, child := keyed("parent"), keyed("child", "parent")
	perDatabase(t, []any{child, parent}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		_, err := s.NewInsert().Table(child).Model(&map[string]any{"id": 1, "parent_id": 99}).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrForeignKey)
		require.Zero(t, catalogueOf(t, x.Engines(), "").count("child"))
	})
}

// keyBook and keyAuthor refer to each other, keyReview to another bind too.
type (
	keyAuthor struct {
		bun.BaseModel `bun:"table:authors"`
		ID            int64 `bun:",pk,autoincrement"`
		Name          string
		Books         []*keyBook `bun:"rel:has-many,join:id=author_id"`
	}
	keyBook struct {
		bun.BaseModel `bun:"table:books"`
		ID            int64 `bun:",pk,autoincrement"`
		AuthorID      int64
		Author        *keyAuthor `bun:"rel:belongs-to,join:author_id=id,on_delete:CASCADE"`
		EditorID      int64
		Editor        *keyEditor `bun:"rel:belongs-to,join:editor_id=id"`
	}
	keyEditor struct {
		bun.BaseModel `bun:"table:editors"`
		metaModel
		ID int64 `bun:",pk,autoincrement"`
	}
)

// Relations of models become foreign keys if the configuration says so, and
// never towards another bind.
func TestRelationsAsForeignKeys(t *testing.T) {
	t.Parallel()
	models := []any{(*keyBook)(nil), (*keyAuthor)(nil), (*keyEditor)(nil)}
	for _, tt := range []struct {
		name string
		keys bool
		want []string
	}{
		{"Off", false, []string{}},
		{"On", true, []string{"author_id > authors(id)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, url := range databases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					x := newExtension(t, echobun.Config{
						DatabaseURI: url(t),
						Binds:       echobun.Binds{"meta": {URL: sqliteURL(t)}},
						ForeignKeys: tt.keys,
					}, models...)
					ctx, s := newSchema(t, x)
					require.Equal(t, tt.want, catalogueOf(t, x.Engines(), "").foreignKeys("books"))
					require.Empty(t, catalogueOf(t, x.Engines(), "meta").foreignKeys("editors"))

					_, err := s.NewInsert().Model(&keyBook{AuthorID: 99}).Exec(ctx)
					require.Equal(t, tt.keys, err != nil)
					if tt.keys {
						require.ErrorIs(t, err, echobun.ErrForeignKey)
						deleteCascades(t, x, s)
					}
					require.NoError(t, x.DropAll(ctx))
				})
			}
		})
	}
}

// deleteCascades looks at on_delete: it has to reach the database.
func deleteCascades(t *testing.T, x *echobun.Extension, s *echobun.Session) {
	t.Helper()
	ctx, _ := newSession(t, x)
	author := &keyAuthor{Name: "A"}
	_, err := s.NewInsert().Model(author).Exec(ctx)
	require.NoError(t, err)
	_, err = s.NewInsert().Model(&keyBook{AuthorID: author.ID}).Exec(ctx)
	require.NoError(t, err)
	_, err = s.NewDelete().Model(author).WherePK().Exec(ctx)
	require.NoError(t, err)
	require.Zero(t, catalogueOf(t, x.Engines(), "").count("books"))
}

// keyOrder and keyItem have a key of two columns between them.
type (
	keyOrder struct {
		bun.BaseModel `bun:"table:orders"`
		Shop          int64 `bun:",pk"`
		Number        int64 `bun:",pk"`
	}
	keyItem struct {
		bun.BaseModel `bun:"table:items"`
		ID            int64 `bun:",pk,autoincrement"`
		Shop          int64
		Number        int64
		Order         *keyOrder `bun:"rel:belongs-to,join:shop=shop,join:number=number"`
	}
)

func TestCompositeForeignKeys(t *testing.T) {
	t.Parallel()
	perDatabaseWith(t, echobun.Config{ForeignKeys: true}, []any{(*keyItem)(nil), (*keyOrder)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, _ := newSchema(t, x)
		require.Equal(t, []string{"shop,number > orders(shop,number)"}, catalogueOf(t, x.Engines(), "").foreignKeys("items"))
		require.NoError(t, x.DropAll(ctx))
	})
}

func TestSchemaQualifiedTables(t *testing.T) {
	t.Parallel()
	type Report struct {
		bun.BaseModel `bun:"table:app.reports"`
		ID            int64 `bun:",pk,autoincrement"`
	}
	line := &echobun.Table{
		Name: "lines", Schema: "app",
		Columns: []echobun.Column{
			{Name: "id", Type: echobun.Integer, PrimaryKey: true},
			{Name: "report_id", Type: echobun.BigInteger, References: "app.reports.id"},
		},
		Indexes: []echobun.Index{{Columns: []string{"report_id"}}},
	}
	same := &echobun.Table{Name: "lines", Columns: []echobun.Column{{Name: "id", Type: echobun.Integer, PrimaryKey: true}}}

	x := newExtension(t, echobun.Config{DatabaseURI: databases["PostgreSQL"](t)}, line, (*Report)(nil), same)
	cat := catalogueOf(t, x.Engines(), "")
	cat.exec("CREATE SCHEMA app")
	ctx, s := newSession(t, x)
	for range 2 {
		require.NoError(t, x.CreateAll(ctx))
		require.Equal(t, []string{"lines"}, cat.tables())
		require.Contains(t, cat.columns("app.reports"), "id")
		require.Equal(t, []string{"report_id > reports(id)"}, cat.foreignKeys("app.lines"))
		require.Equal(t, []string{"ix_lines_report_id(report_id)"}, cat.indexes("app.lines"))
	}
	_, err := s.NewInsert().Table(line).Model(&map[string]any{"id": 1}).Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, cat.count("app.lines"))
	require.Zero(t, cat.count("lines"))

	names := []string{}
	for _, table := range x.Metadata().Tables() {
		names = append(names, table.Schema+"."+table.Name)
	}
	require.True(t, slices.Index(names, "app.reports") < slices.Index(names, "app.lines"), "%v", names)
	require.NoError(t, x.DropAll(ctx))
	require.Empty(t, cat.tables())
	require.Empty(t, cat.columns("app.lines"))
}

// followers is a table between users and themselves that no many-to-many
// relation leads over, member one that shares its key with its user, and seat
// one whose key holds a reference and a number of its own.
type (
	followUser struct {
		bun.BaseModel `bun:"table:users"`
		ID            int64  `bun:",pk,autoincrement"`
		Name          string `bun:",unique"`
	}
	follower struct {
		bun.BaseModel `bun:"table:followers"`
		FollowerID    int64       `bun:",pk"`
		FolloweeID    int64       `bun:",pk"`
		Follower      *followUser `bun:"rel:belongs-to,join:follower_id=id,on_delete:CASCADE"`
		Followee      *followUser `bun:"rel:belongs-to,join:followee_id=id,on_delete:CASCADE"`
	}
	member struct {
		bun.BaseModel `bun:"table:members"`
		UserID        int64       `bun:",pk"`
		User          *followUser `bun:"rel:belongs-to,join:user_id=id"`
	}
	seat struct {
		bun.BaseModel `bun:"table:seats"`
		UserName      string      `bun:"type:varchar(255),pk"`
		Number        int64       `bun:",pk"`
		User          *followUser `bun:"rel:belongs-to,join:user_name=name"`
	}
	// heads and tails lead to each other by their keys: which is the parent is not known.
	head struct {
		bun.BaseModel `bun:"table:heads"`
		ID            int64 `bun:",pk"`
		Tail          *tail `bun:"rel:belongs-to,join:id=id"`
	}
	tail struct {
		bun.BaseModel `bun:"table:tails"`
		ID            int64 `bun:",pk"`
		Head          *head `bun:"rel:belongs-to,join:id=id"`
	}
	// whole leads to a part by a column that is no key there.
	whole struct {
		bun.BaseModel `bun:"table:wholes"`
		ID            int64 `bun:",pk"`
		Part          *part `bun:"rel:belongs-to,join:id=whole_id"`
	}
	part struct {
		bun.BaseModel `bun:"table:parts"`
		ID            int64 `bun:",pk"`
		WholeID       int64
	}
)

// TestForeignKeysOfPrimaryKeys asserts that a belongs-to by columns of a primary
// key is a foreign key, where Bun's own answer leaves it out.
func TestForeignKeysOfPrimaryKeys(t *testing.T) {
	t.Parallel()
	models := []any{
		(*follower)(nil), (*member)(nil), (*seat)(nil), (*followUser)(nil), (*head)(nil), (*tail)(nil), (*whole)(nil), (*part)(nil),
	}
	perDatabaseWith(t, echobun.Config{ForeignKeys: true}, models, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, s := newSchema(t, x)
		cat := catalogueOf(t, x.Engines(), "")
		for table, want := range map[string][]string{
			"followers": {"followee_id > users(id)", "follower_id > users(id)"},
			"members":   {"user_id > users(id)"},
			"seats":     {"user_name > users(name)"},
			"heads":     {}, "tails": {}, "wholes": {},
		} {
			require.ElementsMatch(t, want, cat.foreignKeys(table), table)
		}
		for _, orphan := range []any{&follower{FollowerID: 98, FolloweeID: 99}, &member{UserID: 98}, &seat{UserName: "x"}} {
			_, err := s.NewInsert().Model(orphan).Exec(ctx)
			require.ErrorIs(t, err, echobun.ErrForeignKey, "%T", orphan)
		}
		require.NoError(t, x.DropAll(ctx))

		// Bun's own CREATE TABLE knows of the table between as well.
		q := x.Engine().NewCreateTable().Model((*follower)(nil)).WithForeignKeys()
		require.Contains(t, q.String(), "FOREIGN KEY")
	})
}

// TestCounterBehindAnotherKey has rows counted by a column that is not the first
// of its primary key. SQLite refuses that when it is registered.
func TestCounterBehindAnotherKey(t *testing.T) {
	t.Parallel()
	type invoiceLine struct {
		Year   int64 `bun:",pk"`
		Number int64 `bun:",pk,autoincrement"`
	}
	for name, url := range databases {
		if name == "SQLite" {
			continue
		}
		x := newExtension(t, echobun.Config{DatabaseURI: url(t)}, (*invoiceLine)(nil))
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx), name)
		for want := range int64(2) {
			line := invoiceLine{Year: 2024}
			require.NoError(t, ran(db.NewInsert().Model(&line).Exec(ctx)), name)
			require.Equal(t, want+1, line.Number, name)
		}
	}
}
