package echobun_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun"
)

// A stubborn value is one that its own method refuses to give.
type stubborn struct{}

func (stubborn) Value() (driver.Value, error) {
	return nil, errors.New(`no: '); DROP TABLE valued; --`)
}

type valued struct {
	ID   int64 `bun:",pk"`
	Text string
}

// What Bun or a dialect refuses to write is not sent, and has its own kind.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*valued)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for name, err := range map[string]error{
			"argument":  ran(db.NewRaw("INSERT INTO valueds (id, text) VALUES (1, ?)", stubborn{}).Exec(ctx)),
			"condition": db.NewSelect().Model(new(valued)).Where("text = ?", stubborn{}).Scan(ctx),
			"by bind":   ran(db.Bind("").NewRaw("DELETE FROM valueds WHERE text = ?", stubborn{}).Exec(ctx)),
			"in a transaction": db.RunInTx(ctx, nil, func(ctx context.Context, tx *echobun.Session) error {
				return ran(tx.NewRaw("INSERT INTO valueds (id, text) VALUES (1, ?)", stubborn{}).Exec(ctx))
			}),
		} {
			require.ErrorIs(t, err, echobun.ErrInvalidValue, name)
			require.ErrorContains(t, err, "was not sent, for a value in it: no: '", name)
		}

		_, err := db.NewInsert().Model(&valued{ID: 2, Text: "?!(x)"}).Exec(ctx)
		require.NoError(t, err, "a value like any other")
		var text string
		require.NoError(t, db.NewSelect().Model((*valued)(nil)).Column("text").Where("text = ?", "?!(x)").Scan(ctx, &text))
		require.Equal(t, "?!(x)", text)
	})
}

type nulled struct {
	ID int64 `bun:",pk"`
	N  sql.Null[int64]
	At sql.Null[time.Time]
}

// A [sql.Null] has the column of a T: numbers are compared as numbers.
func TestNullsHaveTheTypeInside(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*nulled)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		at := time.Date(2024, 3, 31, 1, 2, 3, 0, time.UTC)
		for i, n := range []int64{9, 10, 100} {
			row := &nulled{ID: int64(i), N: sql.Null[int64]{V: n, Valid: true}, At: sql.Null[time.Time]{V: at, Valid: true}}
			require.NoError(t, ran(db.NewInsert().Model(row).Exec(ctx)))
		}
		n, err := db.NewSelect().Model((*nulled)(nil)).Where("n > ?", 9).Where("at = ?", at).Count(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		var got nulled
		require.NoError(t, db.NewSelect().Model(&got).Where("id = 2").Scan(ctx))
		require.EqualValues(t, 100, got.N.V)
		require.True(t, at.Equal(got.At.V))
	})
}

var holidays = &echobun.Table{Name: "holidays", Columns: []echobun.Column{
	{Name: "id", Type: echobun.BigInteger, PrimaryKey: true, AutoIncrement: true},
	{Name: "day", Type: echobun.Date, Unique: true},
}}

// One day is one value of a Date column, given as a time or as a text.
func TestDaysOfTables(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{holidays}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		day := time.Date(2024, 3, 31, 0, 0, 0, 0, time.UTC)
		for i, given := range []any{day, "2024-03-31"} {
			err := ran(db.NewInsert().Table(holidays).Model(&map[string]any{"day": given}).Exec(ctx))
			if i > 0 {
				require.ErrorIs(t, err, echobun.ErrUnique)
			} else {
				require.NoError(t, err)
			}
			n, err := db.NewSelect().Table(holidays).Where("day = ?", given).Where("day <= ?", given).Count(ctx)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
		}
		var row map[string]any
		require.NoError(t, db.NewSelect().Table(holidays).Scan(ctx, &row))
		require.Equal(t, day, row["day"])
	})
}

type bitsOfJSON struct {
	ID  int64             `bun:",pk"`
	Doc map[string]string `bun:"type:json"`
}

// JSON comes back as it was, or is refused before it is stored.
func TestJSONIsNotChanged(t *testing.T) {
	t.Parallel()
	perDatabase(t, []any{(*bitsOfJSON)(nil)}, func(t *testing.T, x *echobun.Extension) {
		t.Helper()
		ctx, db := newSession(t, x)
		require.NoError(t, x.CreateAll(ctx))
		for i, text := range []string{"a\x00b", `a\u0000b`, `\`, "it's", "\u2028"} {
			want := &bitsOfJSON{ID: int64(i), Doc: map[string]string{"k": text}}
			if err := ran(db.NewInsert().Model(want).Exec(ctx)); err != nil {
				require.ErrorIs(t, err, echobun.ErrInvalidValue)
				continue
			}
			got := new(bitsOfJSON)
			require.NoError(t, db.NewSelect().Model(got).Where("id = ?", i).Scan(ctx))
			require.Equal(t, want, got)
		}
	})
}
