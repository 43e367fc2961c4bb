package echobun_test

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/internal/dbtest"
)

// What follows are faults that users have reported of Bun, of GORM, of pgx, of
// go-sql-driver and of database/sql, as small as they can be, with what they
// should have got.

type bookcase struct {
	bun.BaseModel `bun:"table:shelves"`

	ID      int64 `bun:",pk,autoincrement"`
	Room    *string
	Opened  sql.NullTime `bun:"type:timestamp"`
	Volumes []*tome      `bun:"rel:has-many,join:id=shelf_id"`
	Tags    []sticker    `bun:"m2m:shelf_tags,join:Shelf=Tag"`
}

type tome struct {
	bun.BaseModel `bun:"table:volumes"`

	ID      int64 `bun:",pk,autoincrement"`
	ShelfID sql.NullInt64
	Shelf   *bookcase `bun:"rel:belongs-to,join:shelf_id=id"`
	NextID  *int64
	Next    *tome     `bun:"rel:belongs-to,join:next_id=id"`
	Title   string    `bun:"type:varchar(40)"`
	Gone    time.Time `bun:"type:timestamp,soft_delete,nullzero"`
}

type sticker struct {
	bun.BaseModel `bun:"table:tags"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:"type:varchar(40)"`
}

// A shelfSticker has a key of its own, beside those that it joins.
type shelfSticker struct {
	bun.BaseModel `bun:"table:shelf_tags"`

	ID      int64 `bun:",pk,autoincrement"`
	ShelfID int64
	Shelf   *bookcase `bun:"rel:belongs-to,join:shelf_id=id"`
	TagID   int64
	Tag     *sticker `bun:"rel:belongs-to,join:tag_id=id"`
}

// library has, on each database, two shelves, of which the second is empty and
// has NULLs, and three volumes on the first.
func library(t *testing.T, run func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session)) {
	t.Helper()
	models := []any{(*shelfSticker)(nil), (*bookcase)(nil), (*tome)(nil), (*sticker)(nil)}
	perDatabase(t, models, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		room := "east"
		require.NoError(t, ran(db.NewInsert().Model(&[]*bookcase{{ID: 1, Room: &room}, {ID: 2}}).Exec(ctx)))
		on, next := sql.NullInt64{Int64: 1, Valid: true}, int64(2)
		require.NoError(t, ran(db.NewInsert().Model(&[]*tome{
			{ID: 1, ShelfID: on, Title: "a", NextID: &next}, {ID: 2, ShelfID: on, Title: "a"}, {ID: 3, ShelfID: on, Title: "b"}, {ID: 4, Title: "lost"},
		}).Exec(ctx)))
		require.NoError(t, ran(db.NewInsert().Model(&[]sticker{{ID: 7, Name: "x"}, {ID: 8, Name: "y"}}).Exec(ctx)))
		require.NoError(t, ran(db.NewInsert().Model(&[]shelfSticker{{ID: 70, ShelfID: 1, TagID: 8}, {ID: 71, ShelfID: 1, TagID: 7}}).Exec(ctx)))
		run(ctx, t, x, db)
	})
}

// TestUpstreamRelations: related rows that are not there, keys that may be
// NULL, many relations at once, limits within them, and join tables with keys of
// their own gave panics and rows of others.
func TestUpstreamRelations(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		t.Helper()
		var shelves []bookcase
		n, err := db.NewSelect().Model(&shelves).Relation("Volumes").Relation("Tags").OrderExpr("bookcase.id").Limit(5).ScanAndCount(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		require.Len(t, shelves[0].Volumes, 3)
		require.ElementsMatch(t, []int64{7, 8}, []int64{shelves[0].Tags[0].ID, shelves[0].Tags[1].ID}, "not the join table's own keys")
		require.Empty(t, shelves[1].Volumes)
		require.Nil(t, shelves[1].Room, "the first column of a row that is NULL")

		var volumes []tome
		require.NoError(t, db.NewSelect().Model(&volumes).Relation("Shelf.Volumes.Shelf.Tags").Relation("Next.Shelf").OrderExpr("tome.id").Scan(ctx))
		require.Len(t, volumes, 4)
		require.Nil(t, volumes[3].Shelf)
		require.Nil(t, volumes[3].Next)
		require.EqualValues(t, 2, volumes[0].Next.ID)
		require.EqualValues(t, 1, volumes[0].Next.Shelf.ID)
		require.Len(t, volumes[2].Shelf.Volumes, 3)
		require.Len(t, volumes[0].Shelf.Volumes[1].Shelf.Tags, 2)

		var empty []bookcase
		require.NoError(t, db.NewSelect().Model(&empty).Where("1 = 0").Relation("Volumes", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Limit(1)
		}).Scan(ctx))
		require.Empty(t, empty)
	})
}

// TestUpstreamCounts: with GROUP BY, a count was that of the first group.
func TestUpstreamCounts(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		t.Helper()
		var rows []struct {
			Title string
			N     int
		}
		n, err := db.NewSelect().Model((*tome)(nil)).Column("title").ColumnExpr("count(*) AS n").Group("title").OrderExpr("title").Limit(2).ScanAndCount(ctx, &rows)
		require.NoError(t, err)
		require.EqualValues(t, 3, n, "groups")
		require.Len(t, rows, 2)
		require.Equal(t, 2, rows[0].N)
		n, err = db.NewSelect().Model((*tome)(nil)).Limit(1).Offset(3).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, n)
	})
}

// TestUpstreamSoftDeletes: deletes of several rows deleted all, or none; rows that are
// there could not be deleted for good; and deleted ones not brought back.
func TestUpstreamSoftDeletes(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		t.Helper()
		live := func() (ids []int64) {
			require.NoError(t, db.NewSelect().Model((*tome)(nil)).Column("id").OrderExpr("id").Scan(ctx, &ids))
			return ids
		}
		require.NoError(t, ran(db.NewDelete().Model(&[]tome{{ID: 1}, {ID: 3}}).WherePK().Exec(ctx)))
		require.Equal(t, []int64{2, 4}, live())
		require.NoError(t, ran(db.NewUpdate().Model((*tome)(nil)).Set("gone = NULL").WhereAllWithDeleted().Where("id = ?", 3).Exec(ctx)))
		require.Equal(t, []int64{2, 3, 4}, live())
		require.NoError(t, ran(db.NewDelete().Model(&tome{ID: 2}).WherePK().ForceDelete().Exec(ctx)))
		n, err := db.NewSelect().Model((*tome)(nil)).WhereAllWithDeleted().Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n, "one is gone for good, one is deleted")

		// A key that was never set is no reason to delete everything.
		require.NoError(t, ran(db.NewDelete().Model(&tome{}).WherePK().Exec(ctx)))
		require.NoError(t, ran(db.NewDelete().Model(&sticker{}).WherePK().Exec(ctx)))
		require.Error(t, ran(db.NewDelete().Model(&sticker{}).Exec(ctx)))
		require.Equal(t, []int64{3, 4}, live())
		n, err = db.NewSelect().Model((*sticker)(nil)).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	})
}

// TestUpstreamAffected: an update to the value that was there affected no row on MySQL.
func TestUpstreamAffected(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		t.Helper()
		require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			for range 2 {
				res, err := tx.NewUpdate().Model((*sticker)(nil)).Set("name = ?", "same").Where("id = ?", 7).Exec(ctx)
				require.NoError(t, err)
				n, err := res.RowsAffected()
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
			}
			return nil
		}))
	})
}

// TestUpstreamRollbacks: when a second statement failed and the rollback did
// too, the first was committed; when the context of a transaction ended, no
// ROLLBACK was sent, and its locks stayed.
func TestUpstreamRollbacks(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		t.Helper()
		name := func(id int64) (name string) {
			require.NoError(t, db.NewSelect().Model((*sticker)(nil)).Column("name").Where("id = ?", id).Scan(ctx, &name))
			return name
		}
		failed := errors.New("failed")
		require.ErrorIs(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			require.NoError(t, ran(tx.NewUpdate().Model((*sticker)(nil)).Set("name = 'first'").Where("id = 7").Exec(ctx)))
			require.Error(t, ran(tx.NewRaw("UPDATE tags SET nothing = 1").Exec(ctx)))
			return failed
		}), failed)
		require.Equal(t, "x", name(7))

		for range 20 {
			short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
			err := db.RunInTx(short, nil, func(ctx context.Context, tx *echobun.Session) error {
				if err := ran(tx.NewUpdate().Model((*sticker)(nil)).Set("name = 'late'").Where("id = 7").Exec(ctx)); err != nil {
					return err
				}
				<-ctx.Done()
				return ran(tx.NewUpdate().Model((*sticker)(nil)).Set("name = 'later'").Where("id = 8").Exec(ctx))
			})
			cancel()
			require.Error(t, err)
			// Nobody's locks are left.
			limited, cancel := context.WithTimeout(ctx, 5*time.Second)
			require.NoError(t, ran(db.NewUpdate().Model((*sticker)(nil)).Set("name = 'z'").Where("id IN (7, 8)").Exec(limited)))
			cancel()
			require.Equal(t, "z", name(7))
		}
		require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 5*time.Second, 5*time.Millisecond)
	})
}

// TestUpstreamOpenRows: a statement while rows are open in the same
// transaction, and one that is closed before its rows, left the connection
// unusable or hung.
func TestUpstreamOpenRows(t *testing.T) {
	t.Parallel()
	library(t, func(ctx context.Context, t *testing.T, x *echobun.Extension, db *echobun.Session) {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := db.RunInTx(limited, nil, func(ctx context.Context, tx *echobun.Session) error {
			rows, err := tx.Bind("").QueryContext(ctx, "SELECT id FROM volumes")
			if err != nil {
				return err
			}
			defer func() { _ = rows.Close() }()
			require.True(t, rows.Next())
			var n int
			if err := tx.Bind("").QueryRowContext(ctx, "SELECT count(*) FROM tags").Scan(&n); err != nil {
				return err
			}
			require.EqualValues(t, 2, n)
			return rows.Err()
		})
		if err != nil { // PostgreSQL and MySQL send one reply at a time.
			require.ErrorContains(t, err, "rows of an earlier query on this connection are still open: close them first")
		}

		stmt, err := x.Engine().PrepareContext(ctx, "SELECT id FROM volumes")
		require.NoError(t, err)
		rows, err := stmt.QueryContext(limited)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, stmt.Close())
		require.NoError(t, rows.Close()) //nolint:sqlclosecheck // When it is closed is what this is about.
		require.NoError(t, rows.Err())
		for range 5 {
			var n int
			require.NoError(t, db.NewRaw("SELECT count(*) FROM tags").Scan(limited, &n))
			require.EqualValues(t, 2, n)
		}
		require.Eventually(t, func() bool { return x.Engine().Stats().InUse == 0 }, 5*time.Second, 5*time.Millisecond)
	})
}

// TestUpstreamErrorsBehindRows: what went wrong behind the first rows was an
// empty result without an error, or a shorter one.
func TestUpstreamErrorsBehindRows(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL(), Binds: echobun.Binds{"my": {URL: dbtest.MariaDB(t).URL()}}})
	ctx, db := newSession(t, x)
	var ns []int
	require.Error(t, db.NewRaw("SELECT 10 / (3 - n) FROM generate_series(1, 5) AS n").Scan(ctx, &ns))

	my := db.Bind("my")
	require.NoError(t, ran(my.ExecContext(ctx, "CREATE TABLE days (id int, day datetime)")))
	require.NoError(t, ran(my.ExecContext(ctx, "INSERT IGNORE INTO days VALUES (1, '2024-05-06'), (2, '2000-00-00')")))
	var days []struct {
		ID  int
		Day time.Time
	}
	require.NoError(t, my.NewSelect().Table("days").Order("id").Scan(ctx, &days))
	require.Len(t, days, 2)
	require.True(t, days[1].Day.IsZero(), "0000-00-00, as the server has made of it")
}

// TestUpstreamInfinities: values that PostgreSQL has and others have not.
func TestUpstreamInfinities(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{DatabaseURI: dbtest.Postgres(t).URL()})
	ctx, db := newSession(t, x)
	var got []float64
	require.NoError(t, db.NewRaw("SELECT unnest('{NaN,Infinity,-Infinity}'::float8[])").Scan(ctx, &got))
	require.True(t, math.IsNaN(got[0]) && math.IsInf(got[1], 1) && math.IsInf(got[2], -1))
	for _, kind := range []string{"timestamptz", "timestamp", "date"} {
		var at time.Time
		err := db.NewRaw("SELECT 'infinity'::"+kind).Scan(ctx, &at)
		require.Error(t, err, "no time.Time is that late: %s gave %v", kind, at)
		var text string
		require.NoError(t, db.NewRaw("SELECT 'infinity'::"+kind+"::text").Scan(ctx, &text))
	}
}

// TestUpstreamZones: an argument was not in the location that rows are in.
func TestUpstreamZones(t *testing.T) {
	t.Parallel()
	jakarta := time.FixedZone("WIB", 7*3600)
	noon := time.Date(2024, 5, 6, 12, 0, 0, 123456000, jakarta)
	library(t, func(ctx context.Context, t *testing.T, _ *echobun.Extension, db *echobun.Session) {
		t.Helper()
		require.NoError(t, ran(db.NewUpdate().Model(&bookcase{ID: 2, Opened: sql.NullTime{Time: noon, Valid: true}}).Column("opened").WherePK().Exec(ctx)))
		for _, zone := range []*time.Location{time.UTC, jakarta, time.FixedZone("", -3*3600)} {
			var s bookcase
			require.NoError(t, db.NewSelect().Model(&s).Where("opened = ?", noon.In(zone)).Scan(ctx), zone)
			require.True(t, s.Opened.Valid)
			require.WithinDuration(t, noon, s.Opened.Time, 0, zone)
		}
	})
}

// TestUpstreamIdleConnections: a server that hangs up on a connection that was
// idle, with a word that nobody had asked for, made the next statements fail.
func TestUpstreamIdleConnections(t *testing.T) {
	t.Parallel()
	x := newExtension(t, echobun.Config{
		DatabaseURI:   dbtest.MariaDB(t).URL(),
		EngineOptions: echobun.EngineOptions{OnConnect: []string{"SET wait_timeout = 1"}, MaxOpenConns: 2},
	})
	ctx, db := newSession(t, x)
	for range 3 {
		require.NoError(t, ran(db.NewRaw("SELECT 1").Exec(ctx)))
		require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
			return ran(tx.NewRaw("SELECT 1").Exec(ctx))
		}))
		time.Sleep(1100 * time.Millisecond) // As long as the server waits.
	}
}
