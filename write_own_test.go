package echobun_test

import (
	"context"
	"database/sql"
	"testing"

	gomysql "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/feature"
	"github.com/uptrace/bun/dialect/mysqldialect"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// plainMySQL is an engine of the user's own that, like one for MySQL, has no
// RETURNING at all.
func plainMySQL(t *testing.T) *bun.DB {
	t.Helper()
	server := dbtest.MariaDB(t)
	cfg := gomysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", server.Addr(), server.User, server.Password, server.Database
	connector, err := gomysql.NewConnector(cfg)
	require.NoError(t, err)
	db := bun.NewDB(sql.OpenDB(connector), plainDialect{mysqldialect.New()})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// plainDialect is Bun's for MySQL without what it learns of MariaDB.
type plainDialect struct{ *mysqldialect.Dialect }

func (d plainDialect) Features() feature.Feature {
	return d.Dialect.Features() &^ (feature.InsertReturning | feature.DeleteReturning)
}

func TestWritesOnAnEngineWithoutReturning(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: plainMySQL(t)}}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))

	rows := []keyword{{Name: "a"}, {Name: "b"}}
	_, err := db.NewInsert().Model(&rows).Returning("id").Exec(ctx)
	require.NoError(t, err)
	for _, row := range rows {
		require.Equal(t, keyOf(ctx, t, db, row.Name), row.ID)
	}
	single := &keyword{Name: "b", Rank: 2}
	_, err = db.NewInsert().Model(single).On("DUPLICATE KEY UPDATE").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, rows[1].ID, single.ID)

	ignored := []keyword{{Name: "c"}, {Name: "b"}, {Name: "d"}}
	res, err := db.NewInsert().Model(&ignored).Ignore().Exec(ctx)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, []keyword{{Name: "c"}, {Name: "b"}, {Name: "d"}}, ignored)

	again := &keyword{Name: "b"}
	_, err = db.NewInsert().Model(again).Ignore().Exec(ctx)
	require.NoError(t, err)
	require.Zero(t, again.ID)

	var unsupported *feature.NotSupportError
	_, err = db.NewInsert().Model(&keyword{Name: "e"}).Returning("id, rank").Exec(ctx)
	require.ErrorAs(t, err, &unsupported)
	err = db.NewInsert().Model(&keyword{Name: "e"}).Returning("id").Scan(ctx, new(int64))
	var modelErr *echobun.ModelError
	require.ErrorAs(t, err, &modelErr)
	exists, err := db.NewSelect().Model((*keyword)(nil)).Where("name = 'e'").Exists(ctx)
	require.NoError(t, err)
	require.False(t, exists)
}

// A session's own engine is protected as one of the library's: the answer of an
// INSERT that fails midway is read before Bun touches the slice.
func TestFailedInsertOnAnOwnEngine(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: ownMySQL(t, server, server.Addr())}}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	rows := []*keyword{{Name: "a"}, {Name: "b"}, {Name: "a"}, {Name: "d"}}
	for range 2 {
		_, err := db.NewInsert().Model(&rows).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		require.Equal(t, []string{"a", "b", "a", "d"}, namesOf(rows))
		require.Zero(t, rows[0].ID)
	}
}

// The connection of a write's builder is in one allocation with it.
func TestWriteBuildersAllocateNothing(t *testing.T) { //nolint:paralleltest // Allocations are counted for the whole process.
	x := newExtension(t, echobun.Config{DatabaseURI: sqliteURL(t)}, (*keyword)(nil))
	_, s := newSession(t, x)
	db, row := x.Engine(), new(keyword)
	var kept any
	for name, build := range map[string][2]func(){
		"insert": {func() { kept = db.NewInsert().Model(row) }, func() { kept = s.NewInsert().Model(row) }},
		"update": {func() { kept = db.NewUpdate().Model(row) }, func() { kept = s.NewUpdate().Model(row) }},
		"delete": {func() { kept = db.NewDelete().Model(row) }, func() { kept = s.NewDelete().Model(row) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(1000, build[1]), testing.AllocsPerRun(1000, build[0]), name)
	}
	require.NotNil(t, kept)
}

// It dooms the transaction that it is in, as any statement that fails.
func TestFailedAnswerDoomsTheTransaction(t *testing.T) {
	t.Parallel()
	server := dbtest.MariaDB(t)
	x := newExtension(t, echobun.Config{EngineOptions: echobun.EngineOptions{DB: ownMySQL(t, server, server.Addr())}}, (*keyword)(nil))
	ctx, db := newSession(t, x)
	require.NoError(t, x.CreateAll(ctx))
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
		rows := []*keyword{{Name: "a"}, {Name: "a"}}
		_, err := tx.NewInsert().Model(&rows).Exec(ctx)
		require.ErrorIs(t, err, echobun.ErrUnique)
		return nil
	})
	require.ErrorIs(t, err, echobun.ErrTxDoomed)
}
